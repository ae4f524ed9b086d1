/** The search in texts: asked of the kernel, which reads the files; with progress and a stop. */
import { unpackRows } from "../kernel/row-codec";
import type { Bench } from "./types";

const EACH_MS = 250;

interface Found {
  rows: string;
  looked: number;
  total: number;
  done: boolean;
  full: boolean;
}

export class TextSearch {
  private turn = 0;
  private name: string | null = null;

  constructor(
    private readonly bench: Bench,
    /** Rows found so far, and a sentence; null at the end of it. */
    private readonly tell: (rows: Int32Array, said: string, over: boolean) => void,
  ) {}

  async start(text: string): Promise<void> {
    this.stop();
    const turn = ++this.turn;
    const { connection } = this.bench;
    const all: number[] = [];
    try {
      const { search } = await connection.request<{ search: string }>("find", { text });
      if (turn !== this.turn) {
        void connection.request("stop_finding", { search }).catch(() => {});
        return;
      }
      this.name = search;
      for (;;) {
        const said = await connection.request<Found>("found", { search, since: all.length });
        if (turn !== this.turn) return;
        for (const row of rowsIn(said.rows)) all.push(row);
        const part = said.total > 0 ? Math.floor((100 * said.looked) / said.total) : 100;
        const found = `${all.length.toLocaleString("en")}${said.full ? " or more" : ""} in texts`;
        this.tell(Int32Array.from(all), said.done ? found : `${found}, ${part} % read`, said.done);
        if (said.done) break;
        await new Promise((wake) => setTimeout(wake, EACH_MS));
        if (turn !== this.turn) return;
      }
    } catch (error) {
      if (turn !== this.turn) return;
      this.tell(Int32Array.from(all), error instanceof Error ? error.message : String(error), true);
    }
    this.name = null;
  }

  stop(): void {
    this.turn++;
    if (this.name !== null) this.bench.connection.request("stop_finding", { search: this.name }).catch(() => {});
    this.name = null;
  }
}

function rowsIn(text: string): Int32Array {
  const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  return unpackRows(new DataView(bytes.buffer)) ?? new Int32Array(0);
}
