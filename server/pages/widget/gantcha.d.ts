/** What a captcha can be asked for; as attributes of a div they begin with `data-`. */
export interface GantchaOptions {
  sitekey?: string;
  action?: string;
  cdata?: string;
  theme?: "auto" | "light" | "dark";
  size?: "normal" | "compact" | "flexible" | "invisible";
  /** "quiet": work instead of a picture, where the site allows it. */
  mode?: "picture" | "quiet";
  /** A tag such as "de" or "pt-BR"; by default the page's language, then the browser's. */
  language?: string;
  tabindex?: number;
  /** "execute": the first challenge waits for `execute()`. */
  execution?: "render" | "execute";
  compat?: "recaptcha" | "hcaptcha" | "turnstile";
  /** Name of one more form field for the token. */
  "response-field-name"?: string;
  /** `false`: no form field is added. */
  "response-field"?: boolean;
  /** Gets the token. A string is the name of a global function; dots are allowed. */
  callback?: string | ((token: string) => void);
  "expired-callback"?: string | (() => void);
  "error-callback"?: string | ((code: GantchaError) => void);
  /** The dialog of an invisible captcha opens, or is closed by the visitor. */
  "open-callback"?: string | (() => void);
  "close-callback"?: string | (() => void);
  /** Your own texts, such as "text-check". */
  [text: `text-${string}`]: string | undefined;
}

export type GantchaError = "network-error" | "rate-limited" | "unavailable" | "invalid-sitekey";

/** A captcha: what `render()` returned, its element, or the id or a selector of that. */
export type GantchaTarget = string | Element;

export interface Gantcha {
  /** Show a captcha; returns its id. An element that shows one keeps it. */
  render(container: string | HTMLElement, options?: GantchaOptions): string;
  attach(element: HTMLElement): void;
  /** Take the token back and show a new challenge. */
  reset(target?: GantchaTarget): void;
  remove(target?: GantchaTarget): void;
  /** The token; "" until the captcha is solved. */
  getResponse(target?: GantchaTarget): string;
  /** Ask the visitor now; rejects with "challenge-closed" if an invisible captcha is closed. */
  execute(target?: GantchaTarget): Promise<string>;
  ready(callback: () => void): void;
}

export interface GantchaCaptchaElement extends HTMLElement {
  readonly form: HTMLFormElement | null;
  name: string;
  readonly type: string;
  /** The token; "" until the captcha is solved. */
  readonly value: string;
  readonly validity: ValidityState;
  readonly validationMessage: string;
  readonly willValidate: boolean;
  checkValidity(): boolean;
  reportValidity(): boolean;
  reset(): void;
  execute(): Promise<string>;
}

declare global {
  interface Window {
    gantcha: Gantcha;
  }
  interface HTMLElementTagNameMap {
    "gantcha-captcha": GantchaCaptchaElement;
  }
  interface HTMLElementEventMap {
    "gantcha-verified": CustomEvent<{ token: string }>;
    "gantcha-expired": CustomEvent<null>;
    "gantcha-error": CustomEvent<{ code: GantchaError }>;
    "gantcha-opened": CustomEvent<null>;
    "gantcha-closed": CustomEvent<null>;
    "gantcha-statechange": CustomEvent<{ state: "idle" | "working" | "loading" | "ready" | "failed" | "solved" }>;
  }
}
