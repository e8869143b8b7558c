/** Builds a script for each client package; CAPTCHA_SERVER is the URL of the captcha server, without a slash. */
const server = process.env.CAPTCHA_SERVER;
const clients = [
  "react-google-recaptcha.jsx",
  "react-hcaptcha.jsx",
  "react-turnstile.jsx",
  "vue-turnstile.js",
  "vue3-hcaptcha.js",
];
/** Packages with the host of a product in their code, and no option for another. */
const hosts = {
  "react-google-recaptcha/lib/esm/recaptcha-wrapper.js": ['"https://" + hostname', JSON.stringify(server)],
  "@marsidev/react-turnstile/dist/index.js": ["https://challenges.cloudflare.com", server],
  "vue-turnstile/dist/vue-turnstile.js": ["https://challenges.cloudflare.com", server],
};

/** Change the host as a page does: all else of the packages is left as it is. */
const anotherHost = {
  name: "another-host",
  transform(code, id) {
    const file = Object.keys(hosts).find((end) => id.endsWith(`/node_modules/${end}`));
    if (!file) return undefined;
    const [theirs, ours] = hosts[file];
    if (!code.includes(theirs)) this.error(`${file} has no ${theirs}`);
    return { code: code.replaceAll(theirs, ours), map: null };
  },
};

export default {
  plugins: [anotherHost],
  define: {
    CAPTCHA_SERVER: JSON.stringify(server),
    // As Vue's plugin would: its components are written without a compiler here.
    __VUE_OPTIONS_API__: true,
    __VUE_PROD_DEVTOOLS__: false,
    __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: false,
  },
  build: {
    minify: false, // what fails is easier to read
    rolldownOptions: {
      input: clients,
      output: { entryFileNames: "[name].js", chunkFileNames: "[name].js" },
    },
  },
};
