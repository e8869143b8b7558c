/** The captchas of a page, by the ids that its scripts know them by. */
import { call, Captcha } from "./captcha.js";
import { fieldNames, normalize } from "./options.js";
import { locate, ready } from "./script.js";
import { element } from "./view.js";

/** Make a field for a token. */
function field(name) {
  const made = element("input", { type: "hidden", name, autocomplete: "off" });
  made.dataset.gantchaField = "true";
  return made;
}

/** Whether the page still has a captcha, and the button that it is for. */
const isOnPage = ({ host, target }) => host.isConnected && target.isConnected;

export class Widgets {
  /**
   * `paths` are those of the script; `product` the options that every captcha of the page has, and `modest` the sizes and
   * appearances that show a challenge only in doubt: here too, where the site allows it.
   */
  constructor(paths, className, product = {}, modest = null) {
    const { server, query } = locate(paths);
    Object.assign(this, { server, className, product, modest, query });
    this.captchas = new Map();
    this.count = 0;
    this.left = new WeakSet(); // elements that are left alone: what failed, and what the page removed
    // After the `load` event of this script, as pages of other products expect, and once the page has been read.
    setTimeout(() => ready(() => this.begin()));
  }

  /** Attach to the elements of the page, to those that come later, and let go of those that are gone. */
  begin() {
    call(this.query.get("onload"));
    const isExplicit = this.query.get("render") === "explicit";
    const live = document.getElementsByClassName(this.className);
    const look = () => {
      for (const captcha of this.captchas.values()) {
        if (isOnPage(captcha)) {
          if (!captcha.wasOnPage) captcha.choose(); // some pages render first, and add the element later: to a language
          captcha.wasOnPage = true;
          captcha.adopt(captcha.host.closest("form"));
          if (captcha.fields[0]?.parentNode !== captcha.host) captcha.host.append(...captcha.fields); // the page drew it anew
        } else if (captcha.wasOnPage) this.remove(captcha.id);
      }
      if (isExplicit) return;
      for (const found of [...live]) {
        if (found.type === "hidden" || this.left.has(found)) continue; // a field for a token is hidden
        try {
          this.render(found);
        } catch (error) {
          this.left.add(found); // what can't be shown stops no other captcha
          reportError(error);
        }
      }
    };
    look();
    new MutationObserver(look).observe(document, { childList: true, subtree: true });
  }

  /** Show a captcha in an element, or before a button; give its id: the same one if it shows one already. */
  render(container, options = {}) {
    const target = typeof container === "string" ? this.lookUp(container) : container;
    if (!target) throw new Error(`gantcha: there is no element ${container}`);
    const known = this.find(target);
    if (known) return known.id;
    const given = { hl: this.query.get("hl") ?? undefined, ...this.product };
    const isButton = target.matches("button, input");
    const all = { ...given, ...normalize(target.dataset), ...normalize(options), ...(isButton && { size: "invisible" }) };
    if (this.modest?.test([all.size, all.appearance])) all.mode ??= "quiet";
    const copied = target.previousElementSibling;
    if (isButton && copied?.dataset.gantchaHost) copied.remove(); // the page copied the form, or restored it
    const host = isButton ? element("div", {}) : target;
    if (isButton) {
      host.dataset.gantchaHost = "true";
      target.before(host);
    }
    for (const child of [...host.children]) if (child.dataset.gantchaField) child.remove();
    this.left.delete(target);
    const id = String(this.count++);
    const fields = String(all.responsefield) === "false" ? [] : fieldNames(all).map(field);
    if (all.compat && fields.length) fields.at(-1).id = fields.at(-1).name + (id === "0" ? "" : `-${id}`); // pages look for it
    host.append(...fields);
    const write = (token) => fields.forEach((one) => (one.value = token));
    const captcha = new Captcha(host, all, write, this.server);
    Object.assign(captcha, { id, target, fields, wasOnPage: host.isConnected });
    captcha.adopt(host.closest("form"));
    this.captchas.set(id, captcha);
    if (isButton) {
      captcha.on(target, "click", (event) => {
        event.preventDefault();
        captcha.open();
      });
    }
    return id;
  }

  lookUp(name) {
    try {
      return document.getElementById(name) ?? document.querySelector(name);
    } catch {
      return null; // the id of a captcha that is gone is no selector
    }
  }

  /** Find a captcha by its id, its element or a selector; without any of them, the first one. */
  find(target) {
    if (target == null) return this.captchas.values().next().value;
    const known = this.captchas.get(String(target));
    if (known) return known;
    const wanted = typeof target === "string" ? this.lookUp(target) : target;
    return [...this.captchas.values()].find((captcha) => captcha.target === wanted);
  }

  /** Begin a captcha anew; one that is gone needs nothing, and some frameworks ask for it late. */
  reset(target) {
    this.find(target)?.reset();
  }

  get(target) {
    const captcha = this.find(target);
    if (!captcha) throw new Error(`gantcha: there is no captcha ${target ?? "on this page"}; pass what render() returned`);
    return captcha;
  }

  remove(target) {
    const captcha = this.find(target);
    if (!captcha) return;
    if (isOnPage(captcha)) this.left.add(captcha.target); // or it would come again at once
    captcha.remove();
    captcha.fields.forEach((one) => one.remove());
    if (captcha.host !== captcha.target) captcha.host.remove();
    this.captchas.delete(captcha.id);
  }
}
