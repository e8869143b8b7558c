/** What happens when a form is sent: it waits for its captchas, and a token that was used is replaced. */
const DOUBLE_CLICK = 1_000; // ms
const guards = new WeakMap();

export class FormGuard {
  static of(form) {
    if (!guards.has(form)) guards.set(form, new FormGuard(form));
    return guards.get(form);
  }

  constructor(form) {
    Object.assign(this, { form, captchas: new Set(), leftAt: 0 });
    form.addEventListener("submit", (event) => this.hold(event), true);
    form.addEventListener("reset", () => this.captchas.forEach((captcha) => captcha.reset()));
  }

  leave(captcha) {
    this.captchas.delete(captcha);
    this.isBusy = false; // it may have been waited for
  }

  hold(event) {
    const { submitter } = event;
    const captchas = [...this.captchas].filter((captcha) => captcha.isShown && !captcha.isDisabled);
    const isFinal = !submitter?.formNoValidate && (submitter?.formMethod || this.form.getAttribute("method")) !== "dialog";
    if (!captchas.length || !isFinal) return;
    captchas.forEach((captcha) => captcha.checkAge());
    const open = captchas.filter((captcha) => !captcha.token);
    const wasSent = captchas.some((captcha) => captcha.wasSent);
    if (!open.length && (this.isPassing || !wasSent)) return this.note(event, captchas);
    event.preventDefault();
    event.stopImmediatePropagation();
    const isTwice = !open.length && Date.now() - this.leftAt < DOUBLE_CLICK; // the browser is sending the form already
    if (this.isBusy || isTwice) return;
    this.isBusy = true;
    const task = open.length ? this.fill(open) : this.ask(captchas);
    const isSent = () => open.some((captcha) => captcha.wasSent); // by the page, when it got the token
    task.finally(() => (this.isBusy = false)).then((isReady) => isReady && !isSent() && this.pass(submitter));
  }

  /** Have captchas answered, one after the other; say whether all are. */
  async fill(captchas) {
    for (const captcha of captchas) if (!(await captcha.obtain())) return false;
    return true;
  }

  /** Ask the server whether tokens that were sent before can be sent again; show other captchas for those that can't. */
  async ask(captchas) {
    const moveFocus = captchas[0].follow();
    const used = [];
    for (const captcha of captchas) if (!(await captcha.isOpen())) used.push(captcha);
    for (const captcha of used) await captcha.replace();
    const isReady = used.every((captcha) => captcha.token);
    if (!isReady) moveFocus();
    return isReady;
  }

  /** Send the form as the visitor did. */
  pass(submitter) {
    this.isPassing = true;
    try {
      const button = submitter?.isConnected && submitter.form === this.form ? submitter : undefined;
      HTMLFormElement.prototype.requestSubmit.call(this.form, button); // a field of the form may have this name
    } finally {
      this.isPassing = false;
    }
  }

  note(event, captchas) {
    for (const captcha of captchas) captcha.wasSent = true;
    setTimeout(() => event.defaultPrevented || (this.leftAt = Date.now()));
  }
}
