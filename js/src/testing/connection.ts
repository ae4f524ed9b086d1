import { type Connection, Listeners, NOT_CONNECTED } from "../kernel/connection";
import type { ChangesHeader } from "../kernel/protocol";
import type { FakeKernel } from "./kernel";

/** Carries something over; tests give one that loses, doubles and delays. */
export type Channel = (deliver: () => void) => void;

export class FakeConnection implements Connection {
  attached = false;
  private live = true;
  private readonly changes = new Listeners<[ChangesHeader, DataView[]]>();
  private readonly slow = new Listeners<[boolean]>();
  private readonly state = new Listeners<[boolean]>();
  private readonly trait = new Listeners<[string]>();

  constructor(
    private readonly kernel: FakeKernel,
    readonly client: string,
    readonly down: Channel,
    private readonly up: Channel,
  ) {}

  request<T>(op: string, args: Record<string, unknown> = {}, timeoutMs = 120_000): Promise<T> {
    if (!this.live) return Promise.reject(new Error(NOT_CONNECTED));
    return new Promise<T>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("The kernel did not answer.")), timeoutMs);
      const slow = setTimeout(() => this.slow.call(true), 1_000);
      const over = (): void => {
        clearTimeout(timer);
        clearTimeout(slow);
        this.slow.call(false);
      };
      const answer = (run: () => unknown): void => {
        let settle: () => void;
        try {
          const value = structuredClone(run());
          settle = () => resolve(value as T);
        } catch (error) {
          settle = () => reject(error);
        }
        this.down(() => {
          over();
          settle();
        });
      };
      this.up(() => this.kernel.receive(this, op, args, answer));
    });
  }

  deliver(header: ChangesHeader, buffers: DataView[]): void {
    if (this.live) this.changes.call(header, buffers);
  }
  setConnected(live: boolean): void {
    this.live = live;
    if (!live) this.attached = false;
    this.state.call(live);
  }
  traitChanged(trait: string): void {
    this.trait.call(trait);
  }
  onSlow(cb: (waiting: boolean) => void): () => void {
    return this.slow.add(cb);
  }
  onChanges(cb: (header: ChangesHeader, buffers: DataView[]) => void): () => void {
    return this.changes.add(cb);
  }
  onConnected(cb: (connected: boolean) => void): () => void {
    return this.state.add(cb);
  }
  get(trait: string): unknown {
    return this.kernel.traits.get(trait);
  }
  set(trait: string, value: unknown): void {
    this.kernel.setTrait(trait, value);
  }
  onTrait(trait: string, cb: () => void): () => void {
    return this.trait.add((changed) => {
      if (changed === trait) cb();
    });
  }
  connected(): boolean {
    return this.live;
  }
  close(): void {
    this.live = false;
    this.attached = false;
    this.changes.clear();
    this.slow.clear();
    this.state.clear();
    this.trait.clear();
  }
}
