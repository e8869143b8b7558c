import { ref } from "vue";
import VueTurnstile from "vue-turnstile";

import { said, size } from "./page.js";
import { show } from "./vue.js";

const token = ref("");
const captcha = show(VueTurnstile, () => ({
  siteKey: "any",
  size,
  modelValue: token.value,
  "onUpdate:modelValue": (value) => {
    token.value = value;
    if (value) said("verified")(value);
  },
  onExpired: said("expired"),
  onError: said("error"),
}));
window.client = { reset: () => captcha.value.reset() };
