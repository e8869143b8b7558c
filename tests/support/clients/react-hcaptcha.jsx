import HCaptcha from "@hcaptcha/react-hcaptcha";

import { said, size } from "./page.js";
import { show } from "./react.jsx";

const captcha = show((ref, theme) => (
  <HCaptcha
    ref={ref}
    apihost={CAPTCHA_SERVER}
    sitekey="any"
    size={size}
    theme={theme}
    onVerify={said("verified")}
    onExpire={said("expired")}
    onError={said("error")}
    onOpen={said("opened")}
    onClose={said("closed")}
  />
));
window.client = {
  reset: () => captcha.current.resetCaptcha(),
  execute: () => captcha.current.execute(),
  promise: () => captcha.current.execute({ async: true }).then(({ response }) => response),
};
