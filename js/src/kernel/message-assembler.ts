import type { ChangesHeader } from "./protocol";

export interface Message {
  header: ChangesHeader;
  buffers: DataView[];
}

interface Collection {
  key: string;
  parts: (Message | undefined)[];
  missing: number;
}

const KEPT = 3;
/** More than any kernel sends: a thousand parts hold some 25 million spans. */
const MOST_PARTS = 100_000;

/** Large changes come in several messages; here they wait until all are there, in whatever order they come. */
export class MessageAssembler {
  private collections: Collection[] = [];

  /** All messages of the change in their order, or null while some are missing. */
  collect(message: Message): Message[] | null {
    const { epoch, scope, from, to, part, parts, for: client } = message.header;
    if (parts <= 1) return [message];
    if (part < 0 || part >= parts || parts > MOST_PARTS) return null;
    const key = `${epoch} ${scope} ${from} ${to} ${parts} ${client}`;
    let found = this.collections.find((one) => one.key === key);
    if (found === undefined) {
      found = { key, parts: new Array(parts), missing: parts };
      this.collections.push(found);
      if (this.collections.length > KEPT) this.collections.shift();
    }
    if (found.parts[part] === undefined) found.missing--;
    found.parts[part] = message;
    if (found.missing > 0) return null;
    this.collections = this.collections.filter((one) => one !== found);
    return found.parts as Message[];
  }

  clear(): void {
    this.collections = [];
  }
}
