// The list of canaries.

import { json } from "./api.js";
import { h, reconcile, setAttribute, setText, setVariable, show } from "./dom.js";
import { capitalized, share } from "./format.js";
import { errorText } from "./panels.js";
import { setShortcuts } from "./shortcuts.js";
import { showTitle, sign } from "./tab.js";

const REFRESH_MS = 2000;
const RETRY_MS = 3000;

/// Shows all canaries until it is closed. If there is one only, `single` is called with its name.
export function openList(main, live, single) {
  const rows = h("ul", { class: "canaries" });
  const empty = h("p", { class: "dim", text: "This process manages no canary." });
  const section = h(
    "section",
    { class: "card", "aria-labelledby": "list-title" },
    h("h1", { id: "list-title", text: "Canaries" }),
    empty,
    rows,
  );
  show(empty, false);
  let timer;
  let isClosed = false;
  const refresh = async () => {
    clearTimeout(timer);
    let next = REFRESH_MS;
    try {
      const canaries = await json("canaries");
      if (isClosed) return;
      if (canaries.length === 1 && single?.(canaries[0].name)) return;
      if (!section.isConnected) main.replaceChildren(section);
      reconcile(rows, canaries, ({ name }) => name, createRow);
      show(empty, canaries.length === 0);
      live.live();
    } catch (error) {
      if (isClosed) return;
      next = RETRY_MS;
      live.lost(errorText(error), Date.now() + next);
    }
    timer = setTimeout(refresh, next);
  };
  live.connecting(refresh);
  setShortcuts([]);
  showTitle("canary");
  refresh();
  return () => {
    isClosed = true;
    clearTimeout(timer);
  };
}

function createRow({ name }) {
  const link = h("a", { href: `#/${encodeURIComponent(name)}`, text: name, title: name });
  const tag = h("span", { class: "tag" });
  const releases = h("small", { class: "dim" });
  const said = h("p", { class: "said" });
  const shares = h("p", { class: "dim shares" });
  const bar = h(
    "div",
    { class: "split-bar small", "aria-hidden": "true" },
    h("i", { class: "observed" }),
    h("i", { class: "requested" }),
  );
  return {
    element: h(
      "li",
      {},
      h("div", { class: "name" }, h("h2", {}, link), tag, releases),
      h("div", {}, said, bar, shares),
    ),
    update(view) {
      const gates = view.gates.filter(({ state }) => state === "waiting").length;
      setText(tag, gates ? "waits for approval" : view.judgment.verdict);
      setAttribute(tag, "data-verdict", gates ? "waiting" : view.judgment.verdict);
      const { stable, canary } = view.channels;
      setText(releases, `${stable.release} → ${canary.release}`);
      setAttribute(releases, "title", releases.textContent);
      setText(said, `${sign(view.phase)} ${capitalized(view.summary)}`);
      const hasCalls = view.observed_share !== null;
      setAttribute(bar, "data-empty", !hasCalls);
      setVariable(bar, "--observed", view.observed_share ?? 0);
      setVariable(bar, "--requested", view.weight_ppm / 1e6);
      setText(
        shares,
        `requested ${view.weight} · ${hasCalls ? `observed ${share(view.observed_share)}` : "no calls"}`,
      );
    },
  };
}
