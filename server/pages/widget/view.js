/** The elements of one captcha, in a shadow root of its own. */
import { css } from "./style.js";

const icons = {
  refresh: "M20 11a8 8 0 1 0-.6 4M20 5v6h-6",
  listen: "M4 9.5v5h3.5L12 18V6L7.5 9.5zM15.5 9a4 4 0 0 1 0 6M18 6.5a8 8 0 0 1 0 11",
  close: "M6 6l12 12M18 6L6 18",
  tick: "M4.5 12.5l5 5L20 7",
};
/** What a page may set, on any element around the captcha. */
const properties = ["accent", "on-accent", "ink", "soft", "line", "edge", "paper", "card", "bad", "good", "radius", "font"];
const ours = new WeakSet();

export const element = (name, values, ...children) => {
  const made = Object.assign(document.createElement(name), values);
  made.append(...children);
  return made;
};

/** Whether the page shows an element. Safari before 17.4 can not say so, but gives what it folds away no rectangle. */
export const isVisible = (part) => part.checkVisibility?.() ?? part.getClientRects().length;

/** Give the element that can have our shadow root: `host`, or one inside if it is a cell, a label, a form ... */
function placeIn(host) {
  if (ours.has(host)) return host;
  try {
    // Firefox says what is missing only of a control that can have the focus.
    host.attachShadow({ mode: "open", delegatesFocus: host.localName === "gantcha-captcha" });
  } catch {
    return placeIn([...host.children].find((child) => ours.has(child)) ?? host.appendChild(element("div", {})));
  }
  ours.add(host);
  return host;
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS(svg.namespaceURI, "path");
  svg.setAttribute("class", name);
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", icons[name]);
  svg.append(path);
  return svg;
}

export class View {
  /** Build the captcha in `host`; `modal`: in a dialog elsewhere, since `host` may be hidden; closed at first. */
  constructor(host, { modal, size, tabindex }) {
    const button = (part, className, ...children) =>
      element("button", { type: "button", part: `button ${part}`, className }, ...children);
    this.image = element("img", { part: "picture" });
    this.retry = button("retry", "retry");
    this.progress = element("progress", { part: "progress" });
    this.progress.setAttribute("aria-labelledby", "status");
    this.cancel = button("cancel", "cancel");
    this.box = element("button", { type: "button", role: "checkbox", part: "box", className: "box" }, icon("tick"));
    this.box.setAttribute("aria-labelledby", "prompt");
    this.box.setAttribute("aria-describedby", "status");
    this.prompt = element("p", { id: "prompt", part: "prompt" });
    this.listen = button("listen", "icon hear", icon("listen"));
    this.speed = button("speed", "icon", "0.75×");
    this.refresh = button("refresh", "icon", icon("refresh"));
    this.close = button("close", "icon close", icon("close"));
    this.input = element("input", {
      id: "answer",
      part: "input",
      type: "text",
      dir: "ltr",
      autocomplete: "off",
      autocapitalize: "none",
      spellcheck: false,
      maxLength: 256, // text that was copied may have much in it that nobody sees
      enterKeyHint: "done",
    });
    this.input.setAttribute("aria-describedby", "prompt status");
    this.check = button("check", "check");
    this.device = button("device", "device");
    // Until a challenge has a sound, offers this, and there is something to hear.
    this.listen.hidden = this.device.hidden = this.speed.hidden = true;
    this.status = element("p", { id: "status", part: "status", role: "status", tabIndex: -1 });
    this.timer = element("span", { ariaHidden: "true" });
    this.again = button("again", "icon again", icon("refresh"));
    this.close.hidden = !modal;
    const row = (className, ...children) => element("div", { className }, ...children);
    const long = row("long", this.progress, this.cancel);
    this.frame = row("frame", row("spinner"), this.image, icon("tick"), long, this.retry);
    this.card = element(
      "div",
      { role: "group", part: "card" },
      this.frame,
      this.box,
      row("corner", this.speed, this.again, this.close), // nothing that would lie on the picture while it is read
      row("words", this.prompt, this.status),
      row("row", this.input, row("icons", this.listen, this.refresh), this.check, this.device),
    );
    this.controls = this.card.querySelectorAll("button, input");
    if (tabindex) for (const control of this.controls) control.tabIndex = Number(tabindex);
    this.card.className = `card ${size}`;
    this.dialog = modal ? element("dialog", {}, this.card) : null;
    this.host = host;
    this.place = placeIn(modal ? element("div", {}) : host);
    this.root = this.place.shadowRoot;
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    this.root.adoptedStyleSheets = [sheet];
    this.root.replaceChildren(this.dialog ?? this.card);
    this.show("loading");
  }

  /** Show a state, "idle", "working", "loading", "ready", "failed" or "solved": as a box to tick, or as a card. */
  show(state, isBox = false) {
    const { classList } = this.card;
    classList.remove(this.state);
    classList.add((this.state = state));
    classList.toggle("boxed", isBox);
    this.box.ariaChecked = state === "solved";
    this.advance(this.box, 0);
    this.wait(state === "loading");
  }

  /** Show how much of the work is done: as a ring on a part, and as a bar. */
  advance(part, done) {
    part.style.setProperty("--done", done);
    this.progress.value = done;
  }

  /** Say something in the place of the prompt, or nothing. */
  tell(text, className) {
    Object.assign(this.status, { textContent: text, className });
    this.card.classList.toggle("told", text);
  }

  wait(isBusy) {
    this.frame.ariaBusy = isBusy; // not of the card: what a busy part says is not read out
    this.check.ariaDisabled = isBusy;
    this.card.classList.toggle("busy", isBusy);
  }

  /** Open the dialog. */
  open() {
    // Within the page's own dialog: a popover would close under one elsewhere, and a script take the keyboard back.
    const outer = this.host.closest("dialog,[popover],[role=dialog]");
    (outer && isVisible(outer) ? outer : document.body).append(this.place);
    const around = getComputedStyle(this.host);
    for (const name of properties.map((one) => `--gantcha-${one}`)) {
      this.place.style.setProperty(name, around.getPropertyValue(name));
    }
    this.dialog.showModal();
  }

  /** Give every element its text. */
  label(say, language, dir) {
    Object.assign(this.card, { ariaLabel: say("name"), lang: language, dir });
    if (this.dialog) this.dialog.ariaLabel = say("name");
    for (const name of ["listen", "refresh", "close"]) {
      this[name].title = say(name); // which is their name too: with a label besides, both would be read out
    }
    this.again.title = say("refresh");
    Object.assign(this.input, { placeholder: say("label"), ariaLabel: say("label") }); // what is seen is its name
    for (const name of ["check", "retry", "device"]) this[name].textContent = say(name);
    this.cancel.textContent = say("refresh");
  }

  /** Return whether the keyboard is in this captcha. */
  get hasFocus() {
    return this.root.activeElement;
  }

  remove() {
    this.root.replaceChildren();
    if (this.place !== this.host) this.place.remove();
  }
}
