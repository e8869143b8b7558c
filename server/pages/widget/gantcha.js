/** widget.js: the object `gantcha`, the class "gantcha" and the element <gantcha-captcha>. */
import { defineElement } from "./element.js";
import { ready } from "./script.js";
import { Widgets } from "./widgets.js";

if (!window.gantcha?.render) { // an element of the page may have this id
  const widgets = new Widgets(["widget.js"], "gantcha");
  window.gantcha = {
    ready,
    render: (container, options) => widgets.render(container, options),
    attach: (host) => void widgets.render(host),
    reset: (target) => widgets.reset(target),
    remove: (target) => widgets.remove(target),
    getResponse: (target) => widgets.get(target).token,
    execute: (target) => widgets.get(target).execute(),
  };
  defineElement(widgets.server);
}
