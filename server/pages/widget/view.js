/** The elements of one captcha, in a shadow root of its own. */
import { css } from "./style.js";

const icons = {
  refresh: "M20 11a8 8 0 1 0-.6 4M20 5v6h-6",
  listen: "M4 9.5v5h3.5L12 18V6L7.5 9.5zM15.5 9a4 4 0 0 1 0 6M18 6.5a8 8 0 0 1 0 11",
  close: "M6 6l12 12M18 6L6 18",
  tick: "M4.5 12.5l5 5L20 7",
};

export const element = (name, properties, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

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
  /** Build the captcha in the shadow root of `host`; `modal`: in a dialog, which is closed at first. */
  constructor(host, { modal, size, tabindex }) {
    const button = (className, ...children) => element("button", { type: "button", className }, ...children);
    this.image = element("img", {});
    this.retry = button("retry");
    this.prompt = element("p", { id: "prompt" });
    this.listen = button("icon", icon("listen"));
    this.listen.hidden = true; // until a challenge has a sound
    this.refresh = button("icon", icon("refresh"));
    this.close = button("icon", icon("close"));
    this.input = element("input", {
      id: "answer",
      type: "text",
      dir: "ltr",
      autocomplete: "off",
      autocapitalize: "none",
      spellcheck: false,
      maxLength: 256, // text that was copied may have much in it that nobody sees
      enterKeyHint: "done",
    });
    this.input.setAttribute("aria-describedby", "prompt status");
    this.check = button("check");
    this.status = element("p", { id: "status", role: "status", tabIndex: -1 });
    this.again = button("icon again", icon("refresh"));
    this.close.hidden = !modal;
    this.controls = [this.retry, this.listen, this.refresh, this.close, this.input, this.check, this.again];
    if (tabindex) for (const control of this.controls) control.tabIndex = Number(tabindex);
    const row = (className, ...children) => element("div", { className }, ...children);
    this.challenge = row(
      "challenge",
      row("frame", row("spinner"), this.image, this.retry),
      row(
        "body",
        row("row head", this.prompt, this.listen, this.refresh, this.close),
        row("row", this.input, this.check),
      ),
    );
    const line = row("line", icon("tick"), this.status, this.again);
    this.card = element("div", { role: "group" }, this.challenge, line);
    this.card.classList.add("card", ["compact", "flexible"].includes(size) ? size : "normal");
    this.dialog = modal ? element("dialog", {}, this.card) : null;
    this.root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    this.root.adoptedStyleSheets = [sheet];
    this.root.replaceChildren(this.dialog ?? this.card);
    this.show("loading");
  }

  /** Show one state: "loading", "ready", "failed" or "solved". */
  show(state) {
    for (const name of ["loading", "ready", "failed", "solved"]) this.card.classList.toggle(name, name === state);
    this.wait(state === "loading");
  }

  wait(isBusy) {
    this.challenge.ariaBusy = isBusy; // not of the card: what a busy part says is not read out
    this.check.ariaDisabled = isBusy;
  }

  /** Give every element its text. */
  label(say, language, dir) {
    Object.assign(this.card, { ariaLabel: say("name"), lang: language, dir });
    if (this.dialog) this.dialog.ariaLabel = say("name");
    for (const name of ["listen", "refresh", "close"]) {
      this[name].title = say(name); // which is their name too: with a label besides, both would be read out
    }
    this.again.title = say("refresh");
    Object.assign(this.input, { placeholder: say("placeholder"), ariaLabel: say("label") });
    this.check.textContent = say("check");
    this.retry.textContent = say("retry");
  }

  /** Return whether the keyboard is in this captcha. */
  get hasFocus() {
    return Boolean(this.root.activeElement);
  }
}
