/** A page in React whose captcha comes and goes, and changes its theme. */
import { createRef, StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";

/** Show the captcha that a function makes of a ref and a theme; give the ref. */
export function show(makeCaptcha) {
  const captcha = createRef();
  function Page() {
    const [isShown, setShown] = useState(true);
    const [theme, setTheme] = useState("light");
    const toggle = () => setShown((before) => !before);
    Object.assign(window, { toggle, setTheme });
    return (
      <form>
        {isShown && makeCaptcha(captcha, theme)}
        <button type="button" onClick={toggle}>Toggle</button>
      </form>
    );
  }
  createRoot(document.getElementById("page")).render(<StrictMode><Page /></StrictMode>);
  return captcha;
}
