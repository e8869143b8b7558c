/** One captcha on a page: its challenge, its answer, its token. */
import { chooseLanguage, direction, loadTexts, spoken } from "./texts.js";
import { View } from "./view.js";
import { english } from "./words.js";

const LIFETIME = 290_000; // ms: a token is valid for 300 s
const PATIENCE = 20_000; // ms for an answer of the server
const DOUBLE_CLICK = 1_000; // ms
const prompts = { plain: "plain", "crossed-out": "crossedOut" }; // by kind
/** What an error says, by its code. */
const errors = {
  "network-error": "offline",
  "rate-limited": "busy",
  "invalid-sitekey": "unknownSite",
  unavailable: "failed",
};
const codes = { 400: "invalid-sitekey", 403: "invalid-sitekey", 429: "rate-limited" }; // by status

/** Call a function, or one that has a name such as "app.solved". */
export function call(callback, ...values) {
  if (typeof callback === "function") return callback(...values);
  if (!callback) return undefined;
  const names = callback.split(".");
  const last = names.pop();
  const owner = names.reduce((object, name) => object?.[name], window);
  if (typeof owner?.[last] === "function") return owner[last](...values);
  return console.warn(`gantcha: the page has no function ${callback}`);
}

export class Captcha {
  /**
   * Show a captcha in `host`. `options` have lower-case names without dashes, `write` gets each token, and "" when it
   * is taken back; `server` is the URL of the captcha server, with a slash at its end.
   */
  constructor(host, options, write, server, form = host.closest("form")) {
    Object.assign(this, { host, options, write, server });
    this.token = "";
    this.challenge = null;
    this.waiting = []; // those who execute() promised a token
    this.message = ["", ""];
    this.ended = new AbortController();
    const { on } = this;
    const view = new View(host, { modal: options.size === "invisible", ...options });
    this.view = view;
    this.language = chooseLanguage([
      ...[options.language, options.lang, options.hl, host.closest("[lang]")?.lang],
      ...navigator.languages,
    ]);
    this.say = (key) => options[`text${key.toLowerCase()}`] || (this.texts ?? english)[key];
    loadTexts(server, this.language).then((texts) => this.translate(texts));

    const isDark = matchMedia("(prefers-color-scheme: dark)");
    const paint = () => {
      const { theme } = options;
      view.card.classList.toggle("dark", theme === "dark" || (theme !== "light" && isDark.matches));
    };
    paint();
    on(isDark, "change", paint);

    const another = () => {
      this.start().then(() => this.focus());
      view.input.focus(); // or the keyboard would be nowhere meanwhile, since some of these buttons vanish
    };
    for (const button of [view.refresh, view.retry, view.again]) on(button, "click", another);
    on(view.check, "click", () => this.check());
    on(view.listen, "click", () => this.listen());
    on(view.close, "click", () => view.dialog.close());
    on(view.dialog, "close", () => this.token || this.reject("challenge-closed"));
    on(view.input, "input", () => view.input.removeAttribute("aria-invalid"));
    on(view.input, "keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault();
      this.check();
    });
    on(form, "submit", (event) => this.hold(event), true);
    on(form, "reset", () => this.reset());
    this.requests = new PerformanceObserver((list) => this.look(list.getEntries()));
    on(window, "pageshow", (event) => event.persisted && this.reset());
    // What nobody scrolls to takes no picture.
    this.seen = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && this.start());
    if (options.execution !== "execute") this.seen.observe(view.card);
  }

  /** Listen for an event as long as the captcha is on the page. */
  on = (target, type, listener, capture = false) =>
    target?.addEventListener(type, listener, { capture, signal: this.ended.signal });

  translate(texts) {
    this.texts = texts;
    this.view.label(this.say, this.language, direction(this.language));
    this.tell(...this.message);
    this.ask();
    this.write(this.token);
  }

  /** Say what to type. */
  ask() {
    if (!this.challenge) return;
    this.view.prompt.textContent = this.say(prompts[this.challenge.kind]);
    this.view.image.alt = `${this.view.prompt.textContent} ${this.say("image")}`;
  }

  tell(key, className = "") {
    this.message = [key, className];
    const textContent = this.texts && key ? this.say(key) : "";
    Object.assign(this.view.status, { textContent, className });
  }

  async request(path, body) {
    const options = { credentials: "omit", cache: "no-store", signal: AbortSignal.timeout(PATIENCE) };
    if (body) Object.assign(options, { method: "POST", headers: { "Content-Type": "application/json" } });
    const answer = await fetch(this.server + path, body ? { ...options, body: JSON.stringify(body) } : options);
    if (!answer.ok) throw answer.status;
    return answer;
  }

  fail(error) {
    const code = typeof error === "number" ? (codes[error] ?? "unavailable") : "network-error";
    this.tell(errors[code], "bad");
    this.notify("error", { code });
    call(this.options.errorcallback, code);
  }

  notify(what, detail = null) {
    this.host.dispatchEvent(new CustomEvent(`gantcha-${what}`, { bubbles: true, composed: true, detail }));
  }

  /** Forget the token and the challenge. */
  forget() {
    clearTimeout(this.timer);
    this.sound?.stop();
    this.requests.disconnect();
    Object.assign(this, { token: "", challenge: null, sent: 0, isSpent: false, sound: null, isExpired: false });
    this.write("");
    this.view.input.value = "";
    this.view.input.removeAttribute("aria-invalid");
    this.view.show("loading");
  }

  /** Show another challenge, and say why. */
  async start(...message) {
    this.seen.disconnect();
    this.isStarted = true;
    this.forget();
    this.tell(...(message.length ? message : [""]));
    const { view, options } = this;
    const turn = (this.turn = {}); // what comes late for an earlier one is dropped
    try {
      const query = options.sitekey ? `?sitekey=${encodeURIComponent(options.sitekey)}` : "";
      const challenge = await (await this.request(`challenge${query}`)).json();
      if (turn !== this.turn) return;
      this.challenge = challenge;
      view.listen.hidden = !challenge.audioURL;
      this.ask();
      view.image.src = this.server + challenge.id;
      await view.image.decode();
      if (turn === this.turn) view.show("ready");
    } catch (error) {
      if (turn !== this.turn) return;
      this.challenge = null;
      const { hasFocus } = view;
      view.show("failed");
      if (hasFocus) this.focus();
      this.fail(error);
    }
  }

  /** Begin anew: the token, if there is one, is taken back. */
  reset() {
    if (this.isStarted && !this.view.dialog) return this.start();
    this.turn = null;
    this.isStarted = false;
    this.forget();
    this.tell("");
    return undefined;
  }

  /** Check what was typed, once at a time. */
  check() {
    return (this.checking ??= this.verify().finally(() => {
      this.checking = null;
      this.view.wait(false);
    }));
  }

  /** Whether something was typed that shows. */
  get isTyped() {
    return /[^\s\p{C}\p{DI}]/u.test(this.view.input.value);
  }

  async verify() {
    const { view, challenge, options } = this;
    if (!challenge) return this.focus();
    if (!this.isTyped) {
      view.input.setAttribute("aria-invalid", "true");
      this.tell("empty", "bad");
      return view.input.focus();
    }
    view.wait(true);
    const { sitekey, action, cdata } = options;
    const answer = view.input.value;
    let verdict;
    try {
      verdict = await (await this.request("verify", { id: challenge.id, answer, sitekey, action, cdata })).json();
    } catch (error) {
      return challenge === this.challenge && this.fail(error);
    }
    if (challenge !== this.challenge) return undefined; // another picture is shown by now
    if (verdict.success) return this.succeed(verdict.token);
    await this.start(verdict.reason === "wrong" ? "wrong" : "expired", "bad");
    if (this.challenge) view.input.setAttribute("aria-invalid", "true");
    return this.focus();
  }

  succeed(token) {
    const { view } = this;
    const hadFocus = view.hasFocus;
    Object.assign(this, { token, isExpired: false });
    this.timer = setTimeout(() => this.lapse(), LIFETIME);
    this.sound?.stop();
    view.show("solved");
    this.tell("verified");
    this.write(token);
    if (view.dialog) view.dialog.close();
    else if (hadFocus) view.status.focus(); // or it would fall to the page's beginning
    for (const { resolve } of this.waiting.splice(0)) resolve(token);
    this.notify("verified", { token });
    call(this.options.callback, token);
  }

  async lapse() {
    if (this.view.dialog) this.reset();
    else await this.start("again", "bad");
    this.isExpired = true;
    this.notify("expired");
    call(this.options.expiredcallback);
  }

  reject(code) {
    const waiting = this.waiting.splice(0);
    for (const { reject } of waiting) reject(code);
    call(this.options.closecallback);
  }

  focus() {
    const { view } = this;
    if (view.card.matches(".failed")) view.retry.focus();
    else if (this.token) view.status.focus();
    else view.input.focus();
  }

  /** Ask the visitor for the answer now: an invisible captcha opens. */
  open() {
    if (this.view.dialog) {
      if (this.token) this.reset();
      if (!this.view.dialog.open) this.view.dialog.showModal();
    }
    if (!this.isStarted) this.start();
    this.focus();
  }

  /** Ask for the answer; give a promise of the token. */
  execute() {
    if (this.token && !this.view.dialog) return Promise.resolve(this.token);
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.open();
    });
  }

  /** Let a form go only with a token that is not spent; a form without one is sent after the check. */
  async hold(event) {
    const isAgain = Date.now() - this.sent < DOUBLE_CLICK;
    if (this.token && !this.isSpent && !isAgain) return this.noteSent(event);
    event.preventDefault();
    event.stopImmediatePropagation();
    if (!this.token) return this.checkAndSend(event.target, event.submitter);
    if (isAgain) return undefined;
    await this.start("used", "bad");
    return this.focus();
  }

  /** The token is spent once the browser sends the form, or the page's script a request; not if it found a mistake. */
  noteSent(event) {
    this.sent = Date.now();
    this.requests.observe({ type: "resource" });
    setTimeout(() => (this.isSpent ||= !event.defaultPrevented));
  }

  look(requests) {
    const bySite = ({ initiatorType, name }) =>
      ["fetch", "xmlhttprequest", "beacon"].includes(initiatorType) && !name.startsWith(this.server);
    this.isSpent ||= requests.some(bySite);
  }

  async checkAndSend(form, submitter) {
    if (this.view.dialog) await this.execute().catch(() => {}); // the visitor closed it
    else await this.check();
    if (this.token) form.requestSubmit(submitter);
  }

  async listen() {
    const { challenge, view } = this;
    if (!challenge) return;
    let player;
    try {
      player = new AudioContext();
      const language = spoken.includes(this.language) ? this.language : "en";
      const answer = await this.request(`${challenge.id}.wav?lang=${language}`);
      const buffer = await player.decodeAudioData(await answer.arrayBuffer());
      if (this.challenge !== challenge) return player.close(); // another picture is shown by now
      this.sound?.stop();
      this.sound = Object.assign(player.createBufferSource(), { buffer });
      this.sound.connect(player.destination);
      this.sound.onended = () => player.close();
      this.sound.start();
      view.input.focus();
    } catch (error) {
      player?.close();
      if (this.challenge === challenge) this.tell(error === 429 ? "busy" : "silent", "bad");
    }
  }

  disable(isDisabled) {
    for (const control of this.view.controls) control.disabled = isDisabled;
  }

  /** Take the captcha off the page. */
  remove() {
    this.ended.abort();
    this.seen.disconnect();
    this.turn = null;
    this.forget();
    this.view.root.replaceChildren();
  }
}
