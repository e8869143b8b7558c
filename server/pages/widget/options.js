/** What a page asks of a captcha, by attributes or as an object. */

/** Fields that other products' back ends read. */
const fieldsOf = {
  recaptcha: ["g-recaptcha-response"],
  hcaptcha: ["h-captcha-response", "g-recaptcha-response"],
  turnstile: ["cf-turnstile-response"],
};

/** Name options alike: "expired-callback", "expiredCallback" and data-expired-callback are the same. */
export const normalize = (options) =>
  Object.fromEntries(
    Object.entries(options)
      .filter(([, value]) => value != null)
      .map(([name, value]) => [name.replace(/^data-|-/g, "").toLowerCase(), value]),
  );

/** Give the names of the form fields that get the token. */
export function fieldNames({ responsefieldname, compat }) {
  const [first, ...others] = fieldsOf[compat] ?? [];
  return [...new Set(["gantcha-response", responsefieldname ?? first, ...others].filter(Boolean))];
}
