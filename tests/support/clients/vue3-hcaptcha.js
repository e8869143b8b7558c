import VueHcaptcha from "@hcaptcha/vue3-hcaptcha";

import { said, size } from "./page.js";
import { show } from "./vue.js";

const captcha = show(VueHcaptcha, () => ({
  apiEndpoint: `${CAPTCHA_SERVER}/1/api.js`,
  sitekey: "any",
  size,
  onVerify: said("verified"),
  onExpired: said("expired"),
  onError: said("error"),
  onOpened: said("opened"),
  onClosed: said("closed"),
}));
window.client = {
  reset: () => captcha.value.reset(),
  execute: () => captcha.value.execute(),
  promise: () => captcha.value.executeAsync().then(({ response }) => response),
};
