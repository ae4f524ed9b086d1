/** The way to the dashboard's process: one WebSocket, one binary frame a message, and again after a break. */
import { unframe } from "../kernel/saved-state";

export interface Frame {
  header: Record<string, unknown> & { type: string };
  buffers: DataView[];
}

export function unpack(data: ArrayBuffer): Frame {
  return unframe(data) as Frame;
}

const PAUSES = [250, 500, 1_000, 2_000, 5_000];

export class Wire {
  private socket: WebSocket | null = null;
  private failures = 0;
  private over = false;

  constructor(
    private readonly path: () => string,
    private readonly receive: (frame: Frame) => void,
    private readonly state: (open: boolean, ended: string) => void,
  ) {}

  open(): void {
    const address = new URL(this.path(), location.href);
    address.protocol = "ws:";
    const socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => {
      this.failures = 0;
      this.state(true, "");
    };
    socket.onmessage = (event: MessageEvent) => {
      if (event.data instanceof ArrayBuffer) this.receive(unpack(event.data));
    };
    socket.onclose = (event: CloseEvent) => {
      if (this.socket === socket) this.socket = null;
      this.state(false, event.reason);
      if (this.over || event.code === 4429) return;
      setTimeout(() => this.open(), PAUSES[Math.min(this.failures++, PAUSES.length - 1)]);
    };
  }

  send(comm: string, data: unknown): void {
    if (this.socket?.readyState !== WebSocket.OPEN) throw new Error("Not connected to the dashboard.");
    this.socket.send(JSON.stringify({ comm_id: comm, data }));
  }

  close(): void {
    this.over = true;
    this.socket?.close();
  }
}
