// The start of the page: who the operator is, and which view the address asks for.
//
// `#/` is the list, `#/NAME` a canary, and `#/NAME/approve/GATE` the question of a gate.

import { hasToken, json, onTokenNeeded, signOut } from "./api.js";
import { openCanary } from "./canary.js";
import { askForToken } from "./dialogs.js";
import { h, setText, setVariable, show } from "./dom.js";
import { openList } from "./list.js";
import { LiveLabel } from "./live.js";
import { errorText } from "./panels.js";
import { startShortcuts } from "./shortcuts.js";
import { startTheme } from "./theme.js";

const RETRY_MS = 3000;
const main = document.getElementById("main");
const live = new LiveLabel();

/// Returns the session, as soon as the server answers.
async function openSession() {
  for (;;) {
    let retryNow;
    try {
      return await json("session");
    } catch (error) {
      main.replaceChildren(h("p", { class: "card notice", role: "alert", text: errorText(error) }));
      const wait = new Promise((resolve) => {
        retryNow = resolve;
      });
      live.connecting(retryNow);
      live.lost(errorText(error), Date.now() + RETRY_MS);
      setTimeout(retryNow, RETRY_MS);
      await wait;
    }
  }
}

function showSession({ operator, environment }) {
  const who = document.getElementById("who");
  who.replaceChildren(`${operator.name} · ${operator.role}`);
  if (hasToken()) {
    const leave = () => {
      signOut();
      location.reload();
    };
    who.append(
      " ",
      h("button", { type: "button", class: "quiet", text: "Sign out", onclick: leave }),
    );
  }
  const label = document.getElementById("environment");
  if (show(label, environment !== null)) {
    setText(label, environment.name);
    setVariable(document.documentElement, "--env", environment.color);
    document.body.dataset.environment = environment.name;
  }
}

function readAddress() {
  const [, name, verb, gate] = location.hash.split("/").map(decode);
  return { name: name || null, answer: verb === "approve" ? gate : null };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function route(session) {
  let close = () => {};
  const open = () => {
    close();
    const { name, answer } = readAddress();
    setText(document.getElementById("crumb"), name ? `/ ${name}` : "");
    if (name) {
      close = openCanary(main, name, { session, live, answer });
    } else {
      // The list has nothing to choose from if there is one canary.
      close = openList(main, live, (single) => {
        location.replace(`#/${encodeURIComponent(single)}`);
        return true;
      });
    }
  };
  addEventListener("hashchange", () => {
    open();
    main.focus();
  });
  open();
}

// The address is the route, so that a link to an anchor would leave the page.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
onTokenNeeded(askForToken);
const nextTheme = startTheme();
startShortcuts([
  [
    "l",
    "List of canaries",
    () => {
      location.hash = "#/";
    },
  ],
  ["t", "Next color theme", nextTheme],
]);
const session = await openSession();
showSession(session);
route(session);
