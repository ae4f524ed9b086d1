/** The one owner of the animation frame: draws when something is dirty, and never otherwise. */

export class RafScheduler {
  private handle = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private over = false;

  constructor(
    private readonly draw: (now: number) => void,
    private readonly failed: (error: unknown) => void,
  ) {}

  /** Draws with the next frame. */
  dirty(): void {
    if (this.handle !== 0 || this.over) return;
    clearTimeout(this.timer);
    this.handle = requestAnimationFrame((now) => {
      this.handle = 0;
      try {
        this.draw(now);
      } catch (error) {
        this.failed(error);
      }
    });
  }

  /** Draws in a while, for what breathes; an earlier reason to draw comes first. */
  later(ms: number): void {
    if (this.over || this.handle !== 0) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.dirty(), ms);
  }

  close(): void {
    this.over = true;
    clearTimeout(this.timer);
    if (this.handle !== 0) cancelAnimationFrame(this.handle);
    this.handle = 0;
  }
}
