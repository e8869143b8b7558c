/** <gantcha-captcha>: a captcha that is a control of its form, as an <input> is. */
import { Captcha } from "./captcha.js";
import { fieldNames, normalize } from "./options.js";

/** Define the element; `server` is the URL of the captcha server for those that name none. */
export function defineElement(server) {
  // A server that renders pages has no elements; the browser will define them.
  if (!globalThis.customElements || customElements.get("gantcha-captcha")) return;

  class GantchaCaptcha extends HTMLElement {
    static formAssociated = true;
    static observedAttributes = ["sitekey", "server", "theme", "size", "language", "lang", "action", "cdata", "compat", "mode"];
    static repainted = ["theme", "language", "lang"]; // without another picture
    #internals = this.attachInternals();
    #captcha;
    #names;
    #sending;

    connectedCallback() {
      const attributes = Object.fromEntries([...this.attributes].map(({ name, value }) => [name, value]));
      const { name, server: own, ...options } = normalize(attributes);
      this.#names = fieldNames({ responsefieldname: name || undefined, ...options });
      const base = own ? own.replace(/\/*$/, "/") : server;
      this.#captcha = new Captcha(this, options, (token) => this.#write(token), base);
      const { signal } = this.#captcha.ended;
      // Of buttons elsewhere on the page too, which may belong to the form.
      this.getRootNode().addEventListener("click", (event) => this.#noteSubmitter(event), { capture: true, signal });
      this.#captcha.on(this, "invalid", (event) => this.#checkFirst(event));
      this.#captcha.disable(this.matches(":disabled"));
      this.#captcha.adopt(this.form);
      this.#write("");
      // A control that is hidden must not be missed: the browser could not say what is missing.
      const sizes = new ResizeObserver(() => this.#write(this.value));
      sizes.observe(this.#captcha.view.card);
      signal.addEventListener("abort", () => sizes.disconnect());
    }

    disconnectedCallback() {
      this.#captcha?.remove();
      this.#captcha = null;
    }

    attributeChangedCallback(name, before, now) {
      if (before === now || !this.#captcha) return;
      if (!GantchaCaptcha.repainted.includes(name)) return this.#rebuild();
      this.#captcha.options[name] = now ?? undefined;
      this.#captcha.paint();
      this.#captcha.choose();
    }

    formAssociatedCallback() {
      this.#rebuild();
    }

    formDisabledCallback(isDisabled) {
      this.#captcha?.disable(isDisabled);
    }

    get form() {
      return this.#internals.form;
    }

    /** Name the form by its id, as React does. */
    set form(id) {
      this.setAttribute("form", id);
    }

    get name() {
      return this.getAttribute("name") ?? "";
    }

    set name(name) {
      this.setAttribute("name", name);
    }

    get type() {
      return this.localName;
    }

    /** The token; "" until the captcha is solved. */
    get value() {
      return this.#captcha?.token ?? "";
    }

    get validity() {
      return this.#internals.validity;
    }

    get validationMessage() {
      return this.#internals.validationMessage;
    }

    get willValidate() {
      return this.#internals.willValidate;
    }

    checkValidity() {
      return this.#internals.checkValidity();
    }

    reportValidity() {
      return this.#internals.reportValidity();
    }

    reset() {
      this.#captcha?.reset();
    }

    execute() {
      return this.#captcha ? this.#captcha.execute() : Promise.reject(new Error("gantcha: the element is not on a page"));
    }

    focus() {
      this.#captcha?.focus();
    }

    #rebuild() {
      if (!this.#captcha) return;
      this.disconnectedCallback();
      this.connectedCallback();
    }

    #noteSubmitter(event) {
      this.#write(this.value); // no observer tells of a <details> that was closed
      const button = event.target.closest?.("button, input");
      if (button?.form !== this.form || !["submit", "image"].includes(button?.type)) return;
      this.#sending = { button, event };
      setTimeout(() => (this.#sending = null)); // the browser checks the form at once
    }

    /** A form that is sent before the characters were checked waits for the check. */
    #checkFirst(event) {
      const sending = this.#sending;
      const captcha = this.#captcha;
      if (!sending || !captcha.isTyped) return;
      event.preventDefault();
      // Twice clicked, or sent by the page: once is enough. A page that only asked sends its form itself.
      const isWanted = () => !captcha.wasSent && !sending.event.defaultPrevented;
      captcha.obtain().then((isReady) => isReady && isWanted() && captcha.guard?.pass(sending.button));
    }

    #write(token) {
      if (!this.#captcha) return;
      const data = new FormData();
      for (const name of this.#names) data.set(name, token);
      this.#internals.setFormValue(token ? data : null);
      const { view, wish } = this.#captcha;
      // A dialog opens, or work is done, when the form is sent.
      if (token || view.dialog || wish || !this.#captcha.isShown) this.#internals.setValidity({});
      else this.#internals.setValidity({ valueMissing: true }, this.#captcha.say("empty"), view.input);
    }
  }
  customElements.define("gantcha-captcha", GantchaCaptcha);
}
