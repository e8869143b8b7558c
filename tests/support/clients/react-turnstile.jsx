import { Turnstile } from "@marsidev/react-turnstile";

import { execution, said, size } from "./page.js";
import { show } from "./react.jsx";

const captcha = show((ref, theme) => (
  <Turnstile
    ref={ref}
    siteKey="any"
    options={{ execution, size, theme }}
    onSuccess={said("verified")}
    onExpire={said("expired")}
    onError={said("error")}
  />
));
window.client = {
  reset: () => captcha.current.reset(),
  remove: () => captcha.current.remove(),
  render: () => captcha.current.render(),
  execute: () => captcha.current.execute(),
  promise: () => {
    captcha.current.execute();
    return captcha.current.getResponsePromise();
  },
};
