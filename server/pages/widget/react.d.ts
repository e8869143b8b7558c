/** <gantcha-captcha> in JSX: `import type {} from "gantcha-captcha/react"`. */
import type { DetailedHTMLProps, HTMLAttributes } from "react";
import type { GantchaCaptchaElement, GantchaError, GantchaOptions } from "./gantcha.js";

type Attributes = Pick<
  GantchaOptions,
  "sitekey" | "action" | "cdata" | "theme" | "size" | "mode" | "language" | "compat" | "execution" | "tabindex"
>;

interface Properties extends Attributes, DetailedHTMLProps<HTMLAttributes<GantchaCaptchaElement>, GantchaCaptchaElement> {
  /** URL of the captcha server; without it, that of widget.js or of the page. */
  server?: string;
  /** Name of one more form field for the token. */
  name?: string;
  /** Id of the form, if that is not around the element. */
  form?: string;
  "ongantcha-verified"?: (event: CustomEvent<{ token: string }>) => void;
  "ongantcha-expired"?: (event: CustomEvent<null>) => void;
  "ongantcha-error"?: (event: CustomEvent<{ code: GantchaError }>) => void;
  "ongantcha-opened"?: (event: CustomEvent<null>) => void;
  "ongantcha-closed"?: (event: CustomEvent<null>) => void;
}

declare module "react" {
  namespace JSX {
    interface IntrinsicElements {
      "gantcha-captcha": Properties;
    }
  }
}
