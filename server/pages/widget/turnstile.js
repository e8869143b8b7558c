/** turnstile/v0/api.js: the object `turnstile` and the class "cf-turnstile", as Turnstile's script has them. */
import { ready } from "./script.js";
import { Widgets } from "./widgets.js";

if (!window.turnstile?.render) {
  const widgets = new Widgets(["turnstile/v0/api.js"], "cf-turnstile", { compat: "turnstile" }, /interaction-only|execute/);
  window.turnstile = {
    ready,
    render: (container, options) => widgets.render(container, options),
    reset: (target) => widgets.reset(target),
    remove: (target) => widgets.remove(target),
    getResponse: (target) => widgets.find(target)?.token || undefined,
    isExpired: (target) => widgets.get(target).isExpired,
    execute: (target, options) => widgets.get(widgets.find(target) ? target : widgets.render(target, options)).open(),
  };
}
