/** The widget's module: one Model and one Connection for each widget model, one view for each place it is shown in. */
import type { AnyModel, InitializeProps, RenderProps } from "@anywidget/types";
import { type Connection, connectAnywidget } from "./kernel/connection";
import { hideStill } from "./kernel/hide-static-output";
import { Model } from "./model/model";
import { mountView } from "./workbench/mount";

interface Session {
  model: Model;
  connection: Connection;
  end(): void;
}

const sessions = new Map<string, Session>();

/** The host hands `initialize` and `render` two proxies of one model; the commands' reference is what they share. */
function keyOf(model: AnyModel): string {
  return String(model.get("_commands"));
}

function open(widget: AnyModel): Session {
  const key = keyOf(widget);
  const connection = connectAnywidget(widget);
  const model = new Model(connection);
  const session: Session = {
    model,
    connection,
    end: () => {
      if (sessions.get(key) === session) sessions.delete(key);
      model.close();
      connection.close();
    },
  };
  sessions.get(key)?.end();
  sessions.set(key, session);
  return session;
}

/** Never waits for the kernel: the host gives up on a module that does. */
function initialize({ model, signal }: InitializeProps): () => void {
  const session = open(model);
  signal?.addEventListener("abort", session.end, { once: true });
  return session.end;
}

function render({ model, el, signal }: RenderProps): () => void {
  const known = sessions.get(keyOf(model));
  const session = known ?? open(model);
  const over = new AbortController();
  const end = (): void => over.abort();
  signal?.addEventListener("abort", end, { once: true });
  const unmount = mountView(el, session.model, session.connection, over.signal);
  const showStill = hideStill(el);
  return () => {
    end();
    showStill();
    if (typeof unmount === "function") unmount();
    // A host that knows no `initialize` has one view for each widget.
    if (known === undefined) session.end();
  };
}

export default { initialize, render };
