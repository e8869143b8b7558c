import ReCAPTCHA from "react-google-recaptcha";

import { said, size } from "./page.js";
import { show } from "./react.jsx";

const captcha = show((ref) => (
  <ReCAPTCHA
    ref={ref}
    sitekey="any"
    size={size}
    onChange={said("verified")}
    onExpired={said("expired")}
    onErrored={said("error")}
  />
));
window.client = {
  reset: () => captcha.current.reset(),
  execute: () => captcha.current.execute(),
  promise: () => captcha.current.executeAsync(),
};
