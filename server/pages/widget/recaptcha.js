/** recaptcha/api.js: the object `grecaptcha` and the class "g-recaptcha", as reCAPTCHA's script has them. */
import { ready } from "./script.js";
import { element } from "./view.js";
import { Widgets } from "./widgets.js";

if (!window.grecaptcha?.render) {
  const widgets = new Widgets(["recaptcha/api.js", "recaptcha/enterprise.js"], "g-recaptcha", { compat: "recaptcha" }, /invisible/);
  const ofKeys = {}; // of version 3, whose pages show no captcha until they ask for a token

  /** Version 3: give a promise of a token. */
  const executeKey = (sitekey, { action } = {}) => {
    const host = (ofKeys[sitekey] ??= document.body.appendChild(element("div", {})));
    const captcha = widgets.get(widgets.render(host, { sitekey, size: "invisible" }));
    captcha.options.action = action;
    return captcha.execute();
  };
  const api = {
    ready,
    render: (container, options) => Number(widgets.render(container, options)),
    reset: (id) => widgets.reset(id),
    getResponse: (id) => widgets.get(id).token,
    execute: (id, options) => (typeof id === "string" ? executeKey(id, options) : widgets.get(id).execute().catch(() => null)),
  };
  window.grecaptcha = Object.assign(api, { enterprise: api });
  // Pages may have kept what is to run once the script is there.
  (window.___grecaptcha_cfg?.fns ?? []).forEach(ready);
}
