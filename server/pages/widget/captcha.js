/** One captcha on a page: its challenge, its answer, its token. */
import { FormGuard } from "./form.js";
import { pauseOf } from "./pause.js";
import { Sound } from "./sound.js";
import { chooseLanguage, direction, loadTexts, spoken } from "./texts.js";
import { isVisible, View } from "./view.js";
import { solve } from "./work.js";
import { english } from "./words.js";

const LIFETIME = 290_000; // ms: a token is valid for 300 s
const PATIENCE = 20_000; // ms for an answer of the server
const EARLY = 15_000; // ms: a picture is renewed so long before its end
const MOST_RENEWALS = 2; // without a sign of the visitor
/** What is said while a device works, by what it works for. */
const sayings = { quiet: "working", alternative: "slowly" };
const MOMENT = 500; // ms: who waits longer is told for what
const prompts = { plain: "plain", "crossed-out": "crossedOut" }; // by kind
/** What an error says, by its code. */
const errors = {
  "network-error": "offline",
  "rate-limited": "busy",
  "invalid-sitekey": "unknownSite",
  unavailable: "failed",
};
const codes = { 400: "invalid-sitekey", 403: "invalid-sitekey", 429: "rate-limited" }; // by status

/** Call a function, or one that has a name such as "app.solved"; its error is the page's, and stops nothing here. */
export function call(callback, ...values) {
  try {
    if (typeof callback === "function") return callback(...values);
    if (!callback) return;
    const names = callback.split(".");
    const last = names.pop();
    const owner = names.reduce((object, name) => object?.[name], window);
    if (typeof owner?.[last] === "function") return owner[last](...values);
    return console.warn(`gantcha: the page has no function ${callback}`);
  } catch (error) {
    return reportError(error);
  }
}

export class Captcha {
  /**
   * Show a captcha in `host`. `options` have lower-case names without dashes, `write` gets each token, and "" when it
   * is taken back; `server` is the URL of the captcha server, with a slash at its end.
   */
  constructor(host, options, write, server) {
    Object.assign(this, { host, options, write, server, token: "", challenge: null, renewals: 0, message: [""] });
    this.waiting = []; // those who execute() promised a token
    this.ended = new AbortController();
    this.pause = pauseOf(server);
    const { on } = this;
    const view = new View(host, { modal: options.size === "invisible", ...options });
    this.view = view;
    this.say = (key) => options[`text${key.toLowerCase()}`] || this.texts[key];
    this.wish = this.usualWish = options.mode === "quiet" ? "quiet" : ""; // instead of a picture, until one has come
    this.choose();

    this.isDark = matchMedia("(prefers-color-scheme: dark)");
    this.paint();
    on(this.isDark, "change", () => this.paint());

    const ask = (wish) => {
      Object.assign(this, { renewals: 0, checking: null, wish });
      return wish ? this.check() : this.start();
    };
    const another = () => {
      const moveFocus = this.follow();
      ask(this.wish === "quiet" ? "quiet" : "").then(moveFocus);
      view.input.focus(); // or the keyboard would be nowhere meanwhile, since some of these buttons vanish
    };
    for (const button of [view.refresh, view.retry, view.again, view.cancel]) on(button, "click", another);
    for (const button of [view.check, view.box]) on(button, "click", () => this.token || this.check());
    on(view.device, "click", () => ask("alternative"));
    on(view.listen, "click", () => {
      view.input.focus();
      this.listen();
    });
    on(view.speed, "click", () => this.changeSpeed());
    on(view.close, "click", () => view.dialog.close());
    on(view.dialog, "close", () => this.noteClosed());
    on(view.input, "input", () => {
      this.renewals = 0;
      view.input.removeAttribute("aria-invalid");
      this.tell("");
    });
    on(view.input, "keydown", (event) => {
      const isWriting = event.isComposing || event.keyCode === 229; // Safari says so of the key that ends it
      if (event.key !== "Enter" || isWriting) return;
      event.preventDefault();
      this.check();
    });
    on(window, "pageshow", (event) => event.persisted && this.token && this.reset());
    on(document, "visibilitychange", () => document.hidden || this.wake());
    // What nobody scrolls to takes no picture.
    this.seen = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && this.begin());
    if (this.isBox) this.show("idle");
    else if (options.execution !== "execute" && !this.wish) this.seen.observe(view.card);
  }

  /** Whether there is only a box to tick. */
  get isBox() {
    return this.wish === "quiet" && !this.view.dialog;
  }

  /** Belong to a form, or to none; the page may move the captcha. */
  adopt(form) {
    const guard = form ? FormGuard.of(form) : null;
    if (guard === this.guard) return;
    this.guard?.leave(this);
    this.guard = guard;
    guard?.captchas.add(this);
  }

  /** Listen for an event as long as the captcha is on the page. */
  on = (target, type, listener) => target?.addEventListener(type, listener, { signal: this.ended.signal });

  /** Choose the language, and label everything: in English until the texts have come. */
  choose() {
    const { options, host, server } = this;
    this.language = chooseLanguage([
      ...[options.language, options.lang, options.hl, host.closest("[lang]")?.lang],
      ...navigator.languages,
    ]);
    const { language } = this;
    if (!this.texts) this.translate(english, "en");
    loadTexts(server, language).then((texts) => language === this.language && this.translate(texts, language));
  }

  translate(texts, language) {
    if (this.ended.signal.aborted) return;
    this.texts = texts;
    this.view.label(this.say, language, direction(language));
    const { countEnd } = this;
    this.tell(...this.message);
    if (countEnd > Date.now()) this.countDown(countEnd);
    this.ask();
    this.write(this.token);
  }

  paint() {
    const { theme } = this.options;
    this.view.card.classList.toggle("dark", theme === "dark" || (theme !== "light" && this.isDark.matches));
  }

  /** Say what to type. */
  ask() {
    if (this.isBox) this.view.prompt.textContent = this.say("person");
    if (!this.challenge || this.wish) return;
    this.view.prompt.textContent = this.say(prompts[this.challenge.kind]);
    this.view.image.alt = `${this.view.prompt.textContent} ${this.say("image")}`;
  }

  tell(key = "", className = "") {
    this.message = [key, className];
    this.countEnd = 0;
    clearInterval(this.counter);
    this.view.tell(key && this.say(key), className);
  }

  /** Show how long to wait; a screen reader is not told each second. */
  countDown(end) {
    const count = () => {
      const seconds = Math.ceil((end - Date.now()) / 1000);
      if (seconds <= 0) clearInterval(this.counter);
      this.view.timer.textContent = seconds > 0 ? `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}` : "";
    };
    this.countEnd = end;
    this.view.status.append(" ", this.view.timer);
    count();
    this.counter = setInterval(count, 1000);
  }

  async request(path, body) {
    const options = { credentials: "omit", cache: "no-store", signal: AbortSignal.timeout(PATIENCE) };
    if (body) Object.assign(options, { method: "POST", headers: { "Content-Type": "application/json" } });
    const answer = await fetch(this.server + path, body ? { ...options, body: JSON.stringify(body) } : options);
    if (answer.ok) return answer;
    const seconds = Number(answer.headers.get("Retry-After")) || 0;
    throw Object.assign(new Error(answer.statusText), { answer, status: answer.status, seconds });
  }

  fail({ status, seconds = 0 }) {
    const code = status ? (codes[status] ?? "unavailable") : "network-error";
    this.tell(errors[code], "bad");
    if (code === "rate-limited") this.countDown(Math.max(this.pause.until, Date.now() + seconds * 1000));
    this.notify("error", { code });
    call(this.options.errorcallback, code);
  }

  notify(what, detail = null) {
    this.host.dispatchEvent(new CustomEvent(`gantcha-${what}`, { bubbles: true, composed: true, detail }));
  }

  show(state) {
    const { hasFocus } = this.view;
    this.view.show(state, this.isBox);
    this.ask();
    if (hasFocus && state !== "solved" && !this.ended.signal.aborted) this.focus(); // what had it may be gone
    this.notify("statechange", { state });
  }

  /** Whether the page shows it: what is hidden keeps no form. */
  get isShown() {
    return this.view.dialog || isVisible(this.view.card);
  }

  /** Take back a token that is too old by the clock: while a computer sleeps, no timer runs. */
  checkAge() {
    if (this.token && Date.now() > this.tokenEnd) this.lapse();
  }

  /** Return a function that moves the keyboard here, unless the visitor has moved it elsewhere by then. */
  follow() {
    const place = () => this.host.getRootNode().activeElement;
    const before = place();
    return () => {
      const now = place();
      if (this.view.hasFocus || now === before || !now || now === document.body) this.focus();
    };
  }

  /** Forget the token and the challenge. */
  forget(state = this.isBox ? "idle" : "loading") {
    clearTimeout(this.timer);
    this.job?.abort();
    this.sound?.stop();
    Object.assign(this, { token: "", challenge: null, checking: null, sound: null, wasSent: false, isExpired: false, isOld: false, isObtained: false });
    this.write("");
    this.view.input.value = "";
    this.view.input.removeAttribute("aria-invalid");
    this.view.speed.hidden = true;
    this.show(state);
  }

  /** Show a challenge once the captcha is seen. */
  arm(...message) {
    this.pause.leave(this);
    this.isStarted = false;
    this.forget();
    this.tell(...message);
    this.seen.disconnect();
    if (!this.isBox && (!this.view.dialog || this.view.dialog.open)) this.seen.observe(this.view.card);
  }

  /** Start, or wait while the server has a pause. */
  begin() {
    this.seen.disconnect();
    if (this.pause.admits(this)) return this.start(...this.message);
    this.isStarted = true;
    this.show("failed");
    return this.pause.waiting.add(this);
  }

  /** Try again after a pause. */
  retry() {
    this.arm("");
  }

  /** Get another challenge now, and say why: show its picture, or do its work if that is enough. */
  async start(...message) {
    this.pause.waiting.delete(this);
    this.seen.disconnect();
    this.isStarted = true;
    const { view, wish } = this;
    this.forget(wish ? "working" : "loading");
    this.tell(...(wish ? [sayings[wish]] : message));
    const { signal } = (this.job = new AbortController()); // what comes late for an earlier one is dropped
    try {
      const { sitekey } = this.options;
      const query = sitekey ? `?sitekey=${encodeURIComponent(sitekey)}${wish && `&mode=${wish}`}` : "";
      const challenge = await (await this.request(`challenge${query}`)).json();
      if (signal.aborted) return;
      this.challenge = challenge;
      this.beginWork();
      if (challenge.kind === "quiet") {
        await this.pass();
        return;
      }
      if (wish) {
        this.wish = "";
        this.tell(...(wish === "quiet" ? [] : ["busy", "bad"]));
        this.write(""); // a form needs an answer now
        this.show("loading");
        this.reveal();
      }
      view.listen.hidden = !challenge.audioURL;
      view.device.hidden = !challenge.alternative;
      this.ask();
      view.image.src = this.server + challenge.id;
      await view.image.decode();
      if (signal.aborted) return;
      const life = challenge.expires_in * 1000;
      this.timer = setTimeout(() => this.age(), Math.max(life - EARLY, life / 2));
      this.show("ready");
      this.pause.end();
    } catch (error) {
      if (signal.aborted) return;
      this.job.abort();
      this.challenge = null;
      this.show("failed");
      if (wish) this.reveal();
      if (codes[error.status] === "invalid-sitekey") {
        this.pause.end(); // the server answers
      } else {
        this.pause.begin(error.seconds ?? 0);
        this.pause.waiting.add(this);
      }
      this.fail(error);
    }
  }

  /** Begin the work of the challenge, while the visitor reads and types. */
  beginWork() {
    const { challenge, view } = this;
    const part = this.isBox ? view.box : view.check;
    this.work = challenge.work ? this.solve(challenge.work, part) : undefined;
    this.work?.catch(() => challenge === this.challenge && (this.work = undefined)); // the next check tries again
  }

  /** Give a promise of what the server wants for its work; a part of the view shows how far it is. */
  solve(work, part) {
    let quarter = 0;
    return solve(work, this.server, this.job.signal, (done) => {
      this.view.advance(part, done);
      if (this.wish !== "alternative" || Math.floor(done * 4) === quarter) return;
      quarter = Math.floor(done * 4);
      this.tell(sayings.alternative);
      this.view.status.append(` ${25 * quarter} %`);
    });
  }

  /** Wait for work; who waits for more than a moment is told. */
  async worked(work, className) {
    const { card } = this.view;
    const timer = setTimeout(() => this.tell("working"), MOMENT);
    card.classList.add(className);
    try {
      return await work;
    } finally {
      clearTimeout(timer);
      card.classList.remove(className);
    }
  }

  /** Get a token for work alone; if the server refuses it after all, ask for a picture. */
  async pass() {
    const { challenge, wish } = this;
    this.pause.end();
    const verdict = await this.send({ work: await this.work });
    if (challenge !== this.challenge) return;
    if (verdict.success) return this.succeed(verdict.token);
    this.wish = "";
    this.reveal();
    return this.start(...(wish === "quiet" ? [] : ["busy", "bad"]));
  }

  /** Send what was done for the challenge; give what the server says of it. */
  async send(done) {
    const { sitekey, action, cdata } = this.options;
    return (await this.request("verify", { id: this.challenge.id, ...done, sitekey, action, cdata })).json();
  }

  /** Replace a picture that is about to end, but nothing that was typed. */
  age() {
    if (!this.isTyped) this.renew("expired");
  }

  /** Show another challenge to who is looking, a few times; then wait for the visitor. */
  renew(...message) {
    if (this.isBox || (this.view.dialog && !this.view.dialog.open)) return this.arm(...message);
    if (document.hidden || this.renewals >= MOST_RENEWALS) {
      this.forget();
      this.tell("old");
      this.show("failed");
      this.isOld = true;
      return;
    }
    this.renewals += 1;
    return this.arm(...message);
  }

  /** The page is looked at again, maybe after hours. */
  wake() {
    if (this.isOld && this.renewals < MOST_RENEWALS) {
      this.isOld = false;
      this.renew("expired");
    }
    this.checkAge();
  }

  /** Begin anew: the token, if there is one, is taken back. Whoever resets what failed or ended takes no picture. */
  reset() {
    if ((this.isExpired && !this.challenge) || this.view.state === "failed") return;
    this.wish = this.usualWish;
    if (this.isStarted) this.arm("");
    else {
      this.forget();
      this.tell("");
    }
  }

  /** Check what was typed, once at a time. */
  check() {
    if (this.checking) return this.checking;
    const mine = this.verify().finally(() => {
      if (this.checking !== mine) return; // the visitor did not wait for it
      this.checking = null;
      this.view.wait(this.view.state === "loading");
    });
    return (this.checking = mine);
  }

  /** Whether something was typed that shows. */
  get isTyped() {
    return /[^\s\p{C}\p{DI}]/u.test(this.view.input.value);
  }

  async verify() {
    const { view, challenge } = this;
    const moveFocus = this.follow();
    if (this.wish) {
      await this.start();
      return this.token || moveFocus();
    }
    if (!challenge) return this.open();
    if (!this.isTyped) {
      view.input.setAttribute("aria-invalid", "true");
      this.tell("empty", "bad");
      return view.input.focus();
    }
    view.wait(true);
    const answer = view.input.value;
    let verdict;
    try {
      if (!this.work) this.beginWork();
      const work = await this.worked(this.work, "waiting");
      verdict = await this.send({ answer, work });
    } catch (error) {
      return challenge === this.challenge && this.fail(error);
    }
    if (challenge !== this.challenge) return; // another picture is shown by now
    if (verdict.success) return this.succeed(verdict.token);
    await this.start(verdict.reason === "wrong" ? "wrong" : "expired", "bad");
    if (this.challenge) view.input.setAttribute("aria-invalid", "true");
    return moveFocus();
  }

  succeed(token) {
    const { view } = this;
    const hadFocus = view.hasFocus;
    Object.assign(this, { token, tokenEnd: Date.now() + LIFETIME });
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.lapse(), LIFETIME);
    this.sound?.stop();
    this.show("solved");
    this.tell("verified");
    this.write(token);
    if (view.dialog) {
      this.isSolvedNow = view.dialog.open;
      view.dialog.close();
    } else if (hadFocus) this.focus(); // or it would fall to the page's beginning
    for (const { resolve } of this.waiting.splice(0)) resolve(token);
    this.notify("verified", { token });
    call(this.options.callback, token);
  }

  lapse() {
    this.wish = this.usualWish;
    this.renew(this.wish ? "lapsed" : "again", "bad");
    this.isExpired = true;
    this.notify("expired");
    call(this.options.expiredcallback);
  }

  noteClosed() {
    this.notify("closed");
    const { isSolvedNow } = this; // the event comes later, and the page may have reset the captcha by then
    this.isSolvedNow = false;
    if (isSolvedNow || this.token) return;
    if (this.checking) this.reset(); // or it would send the form later, although the visitor cancelled
    for (const { reject } of this.waiting.splice(0)) reject("challenge-closed");
    call(this.options.closecallback);
  }

  focus() {
    const { view } = this;
    if (this.isBox) view.box.focus();
    else if (view.state === "failed") view.retry.focus();
    else if (view.state === "working") view.cancel.focus();
    else if (this.token) view.status.focus();
    else view.input.focus();
  }

  /** Ask the visitor for the answer now: an invisible captcha opens. */
  open() {
    const { view } = this;
    if (view.dialog) {
      if (this.takeObtained()) return;
      if (this.token) this.reset();
    }
    if (this.wish === "quiet") return void this.check();
    this.reveal();
    if (!this.isStarted) this.start(...this.message);
    this.focus();
  }

  /** Open the dialog, if there is one. */
  reveal() {
    if (!this.view.dialog || this.view.dialog.open) return;
    this.view.open();
    this.notify("opened");
    call(this.options.opencallback);
  }

  /** Ask for the answer; give a promise of the token. */
  execute() {
    this.checkAge();
    if (this.token && (!this.view.dialog || this.takeObtained())) return Promise.resolve(this.token);
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.open();
    });
  }

  /** Get an answer for a form that is being sent; say whether there is one. */
  async obtain() {
    if (this.view.dialog) {
      await this.execute().catch(() => {}); // the visitor closed it
      this.isObtained = this.token;
    } else await this.check();
    return this.token;
  }

  /** Get another token for one that was used; give a promise of when the visitor can go on. */
  replace() {
    this.isObtained = false;
    if (this.view.dialog) return this.obtain();
    this.wish = this.usualWish;
    return this.wish ? this.check() : this.start("used", "bad");
  }

  /** Whether the form has just had the token got that its page asks for now: once. */
  takeObtained() {
    const { isObtained } = this;
    this.isObtained = false;
    return isObtained && this.token;
  }

  /** Ask the server whether the token can still be redeemed; if it does not say, the form's own server will. */
  async isOpen() {
    try {
      return (await (await this.request("token", { token: this.token })).json()).open;
    } catch {
      return true;
    }
  }

  async listen() {
    const { challenge, view } = this;
    if (!challenge) return;
    const language = spoken.includes(this.language) ? this.language : "en";
    const path = `${challenge.id}.wav?lang=${language}`;
    this.sound ??= new Sound(async () => (await this.request(path).catch((error) => this.workFor(path, error))).arrayBuffer());
    view.speed.hidden = false;
    view.speed.ariaPressed = this.sound.rate < 1;
    try {
      await this.sound.play();
    } catch (error) {
      if (this.challenge === challenge) this.tell(error.status === 429 ? "busy" : "silent", "bad");
    }
  }

  /** Do the work that a sound needs first, if that is why it was refused; then ask for it again. */
  async workFor(path, error) {
    if (error.status !== 428) throw error;
    const { work } = await error.answer.json();
    const done = await this.worked(this.solve(work, this.view.listen), "hearing");
    this.tell("");
    return this.request(`${path}&work=${encodeURIComponent(done)}`);
  }

  changeSpeed() {
    this.sound.rate = this.sound.rate < 1 ? 1 : 0.75;
    return this.listen();
  }

  disable(isDisabled) {
    this.isDisabled = isDisabled;
    for (const control of this.view.controls) control.disabled = isDisabled;
  }

  /** Take the captcha off the page. */
  remove() {
    this.ended.abort();
    this.adopt(null);
    this.pause.leave(this);
    this.seen.disconnect();
    this.forget();
    this.tell("");
    for (const { reject } of this.waiting.splice(0)) reject("challenge-closed");
    this.view.remove();
  }
}
