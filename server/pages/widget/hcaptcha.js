/** 1/api.js: the object `hcaptcha` and the class "h-captcha", as hCaptcha's script has them. */
import { Widgets } from "./widgets.js";

if (!window.hcaptcha?.render) {
  const widgets = new Widgets(["1/api.js"], "h-captcha", { compat: "hcaptcha" }, /invisible/);
  const key = ({ token, challenge }) => (token ? challenge.id : "");
  const execute = (id, options) => {
    const captcha = widgets.get(id);
    if (options?.async) return captcha.execute().then((response) => ({ response, key: key(captcha) }));
    return captcha.open(); // others are told by their callbacks
  };
  window.hcaptcha = {
    render: (container, options) => widgets.render(container, options),
    reset: (id) => widgets.reset(id),
    remove: (id) => widgets.remove(id),
    getResponse: (id) => widgets.get(id).token,
    getRespKey: (id) => key(widgets.get(id)),
    execute,
    close: (id) => widgets.get(id).view.dialog?.close(),
    setData: () => {}, // for the risk scores of their service
  };
  if (widgets.query.get("recaptchacompat") !== "off" && !window.grecaptcha?.render) window.grecaptcha = window.hcaptcha;
}
