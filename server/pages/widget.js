// Gantcha's widget: <script src=".../widget.js" defer></script> and <div class="gantcha"></div> in a form.
// No cookies, nothing from elsewhere, no inline style: it works under a strict Content-Security-Policy.
(() => {
  "use strict";
  const base = document.currentScript.src.replace(/[^/]*$/, "");
  const fields = { recaptcha: "g-recaptcha-response", hcaptcha: "h-captcha-response", turnstile: "cf-turnstile-response" };
  const words = {
    en: {
      name: "Captcha",
      plain: "Type the characters.",
      crossedOut: "Type the characters not crossed out by two strokes.",
      label: "Answer",
      image: "A picture of handwritten letters and digits. The speaker button, where there is one, reads out what to type.",
      placeholder: "Characters",
      check: "Check",
      refresh: "Another picture",
      listen: "Listen",
      wrong: "That was not right. Here is a new picture.",
      expired: "That picture has expired. Here is a new one.",
      again: "The confirmation has expired. Please type the characters again.",
      verified: "Confirmed",
      busy: "Too many tries. Please wait a moment.",
      failed: "No picture at the moment. Please try again.",
    },
    ru: {
      name: "Капча",
      plain: "Введите символы.",
      crossedOut: "Введите символы, не зачёркнутые двумя чертами.",
      label: "Ответ",
      image: "Картинка с рукописными латинскими буквами и цифрами. Если есть кнопка с динамиком, она прочтёт, что ввести.",
      placeholder: "Символы",
      check: "Проверить",
      refresh: "Другая картинка",
      listen: "Прослушать",
      wrong: "Неверно. Вот новая картинка.",
      expired: "Картинка устарела. Вот новая.",
      again: "Подтверждение устарело. Введите символы ещё раз.",
      verified: "Подтверждено",
      busy: "Слишком много попыток. Подождите немного.",
      failed: "Сейчас картинки нет. Попробуйте ещё раз.",
    },
  };
  const prompts = { plain: "plain", "crossed-out": "crossedOut" }; // by kind
  const css = `
:host { --ink: #1b1f24; --soft: #59636e; --line: #c4ccd4; --paper: #fff; --card: #f6f8fa; --accent: #0b5cad; --bad: #b3261e; --good: #1a7f37;
  display: block; width: 100%; max-width: 304px; font: 15px/1.4 system-ui, sans-serif; color: var(--ink); color-scheme: light; }
:host([data-dark]) { --ink: #e8ebee; --soft: #a3adb8; --line: #4a535d; --paper: #161b22; --card: #1f262e; --accent: #79b8ff; --bad: #ff8a80; --good: #6fdd8b; color-scheme: dark; }
.card { box-sizing: border-box; padding: 12px; border: 1px solid var(--line); border-radius: 8px; background: var(--card); }
.frame { display: grid; place-items: center; min-height: 104px; overflow: hidden; border: 1px solid var(--line); border-radius: 4px; background: var(--paper); }
img { max-width: 100%; overflow: hidden; font-size: 13px; }
img[src] { height: auto; }
:host([data-dark]) img { filter: invert(0.88); }
.row { display: flex; align-items: center; gap: 6px; }
.head { min-height: 54px; }
#prompt { flex: 1; min-height: 0; margin: 0; line-height: 1.25; color: var(--ink); }
input { flex: 1; min-width: 0; padding: 0 10px; font: 17px ui-monospace, monospace; letter-spacing: 0.12em; }
input::placeholder { font: 14px system-ui, sans-serif; letter-spacing: 0; color: var(--soft); }
input, button { box-sizing: border-box; height: 44px; border: 1px solid var(--line); border-radius: 6px; color: var(--ink); background: var(--paper); }
button { flex: none; min-width: 44px; padding: 0; border-color: transparent; background: none; font: 600 14px system-ui, sans-serif; cursor: pointer; }
.check { padding: 0 14px; color: var(--paper); background: var(--accent); }
svg { display: block; width: 20px; height: 20px; margin: auto; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 1px; }
:disabled { opacity: 0.55; cursor: default; }
p { min-height: 20px; margin: 6px 0 0; font-size: 14px; color: var(--soft); }
p.bad { color: var(--bad); }
p.good { color: var(--good); font-weight: 600; }
[hidden] { display: none; }`;
  const icons = {
    refresh: "M20 11a8 8 0 1 0-.6 4M20 5v6h-6",
    listen: "M4 9.5v5h3.5L12 18V6L7.5 9.5zM15.5 9a4 4 0 0 1 0 6M18 6.5a8 8 0 0 1 0 11",
  };

  const element = (name, properties, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };
  const icon = (name) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const path = document.createElementNS(svg.namespaceURI, "path");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("aria-hidden", "true");
    path.setAttribute("d", icons[name]);
    svg.append(path);
    return svg;
  };
  const ask = async (path, body) => {
    const options = { credentials: "omit", cache: "no-store" };
    if (body) Object.assign(options, { method: "POST", headers: { "Content-Type": "application/json" }, body });
    const answer = await fetch(base + path, options);
    if (!answer.ok) throw answer.status;
    return answer;
  };

  function attach(host) {
    if (host.shadowRoot) return;
    const { lang: asked, theme, compat, callback, expiredCallback } = host.dataset;
    const given = (asked || host.closest("[lang]")?.lang || navigator.language).toLowerCase().split("-")[0];
    const lang = given in words ? given : "en";
    const say = (key) => host.dataset["text" + key[0].toUpperCase() + key.slice(1)] || words[lang][key];
    const hidden = ["gantcha-response", fields[compat]]
      .filter(Boolean)
      .map((name) => element("input", { type: "hidden", name, autocomplete: "off" }));
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const paint = () => host.toggleAttribute("data-dark", theme === "dark" || (theme !== "light" && dark.matches));
    paint();
    dark.addEventListener("change", paint);

    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    const root = host.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet];
    const image = element("img", { alt: say("image"), width: 234, height: 104 }); // until a picture says how large it is
    const input = element("input", {
      id: "answer",
      type: "text",
      placeholder: say("placeholder"),
      autocomplete: "off",
      autocapitalize: "none",
      spellcheck: false,
      maxLength: 256, // text that was copied may have much in it that nobody sees
      enterKeyHint: "done",
    });
    input.setAttribute("aria-describedby", "prompt status");
    input.ariaLabel = say("label");
    const check = element("button", { type: "button", className: "check", textContent: say("check") });
    const button = (key) => element("button", { type: "button", title: say(key), ariaLabel: say(key) }, icon(key));
    const [refresh, listen] = [button("refresh"), button("listen")];
    const status = element("p", { id: "status", role: "status" });
    const prompt = element("p", { id: "prompt" });
    const frame = element("div", { className: "frame" }, image);
    const head = element("div", { className: "row head" }, prompt, listen, refresh);
    const row = element("div", { className: "row" }, input, check);
    root.append(element("div", { className: "card", role: "group", ariaLabel: say("name") }, frame, head, row, status));
    host.append(...hidden);

    let challenge = null, token = "", checking = null, timer = 0, sound = null;
    const tell = (key, kind = "") => Object.assign(status, { textContent: key && say(key), className: kind });
    const call = (callbackName, ...values) => typeof window[callbackName] === "function" && window[callbackName](...values);
    const settle = (value) => {
      token = value;
      hidden.forEach((field) => (field.value = value));
      for (const control of [input, check, listen, refresh]) control.disabled = Boolean(value);
    };
    const fail = (error) => tell(error === 429 ? "busy" : "failed", "bad");

    const renew = async () => {
      clearTimeout(timer);
      settle("");
      sound?.stop();
      challenge = null;
      input.value = "";
      image.removeAttribute("src");
      try {
        challenge = await (await ask("challenge")).json();
        listen.hidden = !challenge.audioURL;
        prompt.textContent = say(prompts[challenge.kind]);
        image.alt = `${prompt.textContent} ${say("image")}`;
        image.src = base + challenge.id;
      } catch (error) {
        fail(error);
      }
    };

    const verify = async () => {
      if (!challenge || !/[^\s\p{C}\p{DI}]/u.test(input.value)) return input.focus(); // nothing that shows: not a try
      try {
        const verdict = await (await ask("verify", JSON.stringify({ id: challenge.id, answer: input.value }))).json();
        if (!verdict.success) {
          tell(verdict.reason === "wrong" ? "wrong" : "expired", "bad");
          input.setAttribute("aria-invalid", "true");
          await renew();
          return input.focus();
        }
        settle(verdict.token);
        input.removeAttribute("aria-invalid");
        tell("verified", "good");
        timer = setTimeout(lapse, 290000);
        host.dispatchEvent(new CustomEvent("gantcha-verified", { bubbles: true, detail: { token } }));
        call(callback, token);
      } catch (error) {
        fail(error);
      }
    };
    const verifyOnce = () => (checking ??= verify().finally(() => (checking = null)));
    const lapse = async () => {
      await renew();
      tell("again", "bad");
      host.dispatchEvent(new CustomEvent("gantcha-expired", { bubbles: true }));
      call(expiredCallback);
    };

    image.addEventListener("error", () => fail());
    image.addEventListener("load", () => {
      const density = image.naturalWidth > 400 ? 2 : 1; // of single density a picture is never so wide
      Object.assign(image, { width: image.naturalWidth / density, height: image.naturalHeight / density });
    });
    check.addEventListener("click", verifyOnce);
    refresh.addEventListener("click", async () => {
      tell("");
      await renew();
      input.focus();
    });
    listen.addEventListener("click", async () => {
      const spoken = challenge;
      if (!spoken) return;
      let player;
      try {
        player = new AudioContext();
        const answer = await ask(`${spoken.id}.wav?lang=${lang}`);
        const buffer = await player.decodeAudioData(await answer.arrayBuffer());
        if (challenge !== spoken) return player.close(); // another picture is shown by now
        sound?.stop();
        sound = Object.assign(player.createBufferSource(), { buffer });
        sound.connect(player.destination);
        sound.onended = () => player.close();
        sound.start();
        input.focus();
      } catch (error) {
        player?.close();
        if (challenge === spoken) fail(error);
      }
    });
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault();
      verifyOnce();
    });
    // A form that is sent before the characters were checked waits for the check.
    host.closest("form")?.addEventListener(
      "submit",
      async (event) => {
        if (token) return;
        event.preventDefault();
        event.stopImmediatePropagation();
        await verifyOnce();
        if (token) event.target.requestSubmit(event.submitter);
      },
      true,
    );
    host.closest("form")?.addEventListener("reset", renew);
    addEventListener("pageshow", (event) => event.persisted && renew());
    // What nobody scrolls to takes no picture.
    const seen = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      seen.disconnect();
      renew();
    });
    seen.observe(host);
  }

  window.gantcha = { attach }; // for elements that come later
  document.querySelectorAll(".gantcha").forEach(attach);
})();
