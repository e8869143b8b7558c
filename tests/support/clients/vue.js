/** A page in Vue whose captcha comes and goes. */
import { createApp, h, ref } from "vue";

/** Show the captcha of these properties and listeners; give a ref of it. */
export function show(component, makeProperties) {
  const captcha = ref();
  const isShown = ref(true);
  window.toggle = () => void (isShown.value = !isShown.value);
  const page = () => h("form", [
    isShown.value ? h(component, { ref: captcha, ...makeProperties() }) : null,
    h("button", { type: "button", onClick: window.toggle }, "Toggle"),
  ]);
  createApp({ setup: () => page }).mount("#page");
  return captcha;
}
