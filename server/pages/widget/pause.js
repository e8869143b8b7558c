/** Pauses after failures: all captchas of a server wait together, so that no page asks again and again. */
const SHORTEST = 5_000; // ms
const LONGEST = 120_000;
const pauses = {};

/** Give the pause of a server. */
export const pauseOf = (server) => (pauses[server] ??= new Pause());

export class Pause {
  constructor() {
    Object.assign(this, { failures: 0, until: 0, trial: null, waiting: new Set() });
    addEventListener("online", () => this.tryOne());
    document.addEventListener("visibilitychange", () => Date.now() < this.until || this.tryOne());
  }

  /** Return whether a captcha may ask the server; after a failure one of them tries, when the pause is over. */
  admits(captcha) {
    if (!this.failures) return true;
    if (Date.now() < this.until || (this.trial && this.trial !== captcha)) return false;
    this.trial = captcha;
    return true;
  }

  /** Begin a pause of the server's own choice or a longer one, with jitter: pages must not come back all at once. */
  begin(seconds) {
    if (!this.failures || Date.now() >= this.until) this.failures += 1; // those that failed together count once
    const grown = Math.min(SHORTEST * 2 ** (this.failures - 1), LONGEST);
    const wait = Math.max(seconds * 1000, grown) * (1 + Math.random() / 4);
    this.until = Date.now() + wait;
    this.trial = null;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.tryOne(), wait);
  }

  leave(captcha) {
    this.waiting.delete(captcha);
    if (this.trial !== captcha) return;
    this.trial = null;
    this.tryOne();
  }

  /** Let the captchas come that a visitor may see: the first to ask is the trial. */
  tryOne() {
    if (!this.failures || document.hidden) return;
    this.until = 0;
    for (const captcha of [...this.waiting]) captcha.retry();
  }

  /** The server answers again. */
  end() {
    if (!this.failures) return;
    Object.assign(this, { failures: 0, until: 0, trial: null });
    clearTimeout(this.timer);
    for (const captcha of [...this.waiting]) captcha.retry();
  }
}
