// Follows the node's events over one WebSocket, mends a lost connection, and tells who listens.

const TOPICS = "block,transaction,trade";
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;

/** The connection: "connecting", "live" or "lost"; messages go to all listeners. */
export class Live {
  constructor(onState) {
    this.state = "connecting";
    this.listeners = new Set();
    this.waitMs = FIRST_WAIT_MS;
    this.onState = onState;
    this.connect();
    addEventListener("online", () => this.retry());
  }

  /** Have `listener` called with each message, and with {type: "mended"} after a break; returns
   *  what ends it. */
  listen(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    this.socket = new WebSocket(`${scheme}//${location.host}/api/v1/events?topics=${TOPICS}`);
    this.socket.addEventListener("open", () => {
      const wasLost = this.state === "lost";
      this.waitMs = FIRST_WAIT_MS;
      this.become("live");
      if (wasLost) this.tell({ type: "mended" });
    });
    this.socket.addEventListener("message", (event) => this.tell(JSON.parse(event.data)));
    this.socket.addEventListener("close", () => {
      this.become("lost");
      this.timer = setTimeout(() => this.connect(), this.waitMs);
      this.waitMs = Math.min(this.waitMs * 2, LONGEST_WAIT_MS);
    });
  }

  /** Try again now instead of after the pause. */
  retry() {
    if (this.state !== "lost") return;
    clearTimeout(this.timer);
    this.waitMs = FIRST_WAIT_MS;
    this.connect();
  }

  become(state) {
    this.state = state;
    this.onState(state);
  }

  tell(message) {
    for (const listener of [...this.listeners]) listener(message);
  }
}
