/** The package: `import "gantcha-captcha"` defines <gantcha-captcha server="https://captcha.example.com">. */
import { defineElement } from "./element.js";

defineElement("/");
