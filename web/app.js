// Starts the page: what the server's model can do, which of the two views is shown, colours, keys, and news of the server.
import { getJson, hasKey, keepKey } from "./api.js";
import { createChat } from "./chat.js";
import { announce, byId, isCovered, kept, make, say } from "./dom.js";
import { createDraw } from "./draw.js";
import { pictureFiles, prepareEnlarging } from "./pictures.js";

const LOOK_SECONDS = 15; // between looks at a server that is well
const LOADING_SECONDS = 1;
const LOST_SECONDS = 3;

let model = null; // {id, sees, draws}
let keyAsked = null; // a promise while the dialog is open

const app = { model: () => model, askKey, onRun: () => lookSoon(0) };
const chat = createChat(app);
const draw = createDraw(app);

// ---- the key

/** True once there is a new key to try; several callers share one dialog. */
function askKey() {
  keyAsked ??= new Promise((resolve) => {
    const dialog = byId("key");
    say(byId("key-reason"), hasKey() ? "It does not take the key that you gave." : "");
    byId("key-value").value = "";
    dialog.returnValue = "";
    dialog.showModal();
    dialog.addEventListener("close", () => {
      keyAsked = null;
      resolve(dialog.returnValue === "use");
    }, { once: true });
  });
  return keyAsked;
}

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = byId("key-value").value.trim();
  if (!key) return;
  keepKey(key);
  byId("key").close("use");
});
byId("key-cancel").addEventListener("click", () => byId("key").close());

// ---- news of the server

async function learnModel() {
  const entry = (await getJson("v1/models")).data[0];
  const { input_modalities: reads = ["text"], output_modalities: writes = ["text"] } = entry.architecture ?? {};
  model = { id: entry.id, sees: reads.includes("image"), draws: writes.includes("image"), guidance: entry.image_config?.guidance_scale };
  byId("model").textContent = model.id;
  byId("model").title = `context: ${entry.max_model_len} tokens`;
  document.title = `${model.id} · vargpt`;
  byId("tabs").hidden = !model.draws;
  chat.showModel();
  draw.showModel();
  showView();
}

/** Looks at the server once; returns the seconds until the next look. */
async function look() {
  try {
    const health = await getJson("health");
    if (model?.id !== health.model) await learnModel();
    say(byId("notice"), health.waiting > 0 ? `The server is busy: ${health.running} at work, ${health.waiting} waiting.` : "");
    return LOOK_SECONDS;
  } catch (error) {
    if (error.kind === "key") {
      if (await askKey()) return 0;
      say(byId("notice"), "Without a key this server does not answer. Reload the page to enter one.");
      return Infinity;
    }
    if (error.kind === "loading") {
      const percent = Math.round((error.progress ?? 0) * 100);
      say(byId("notice"), `The model is loading: ${percent} %`);
      byId("notice").style.setProperty("--progress", `${percent}%`);
      return LOADING_SECONDS;
    }
    say(byId("notice"), error.message);
    return LOST_SECONDS;
  }
}

let timer = null;
let looking = false;

function lookSoon(seconds) {
  clearTimeout(timer);
  if (seconds !== Infinity) timer = setTimeout(lookNow, seconds * 1000);
}

async function lookNow() {
  if (looking || document.hidden) return;
  looking = true;
  const seconds = await look();
  looking = false;
  if (byId("notice").hidden) byId("notice").style.removeProperty("--progress");
  lookSoon(seconds);
}

document.addEventListener("visibilitychange", () => lookSoon(0));
window.addEventListener("online", () => lookSoon(0));

// ---- views

const isDrawing = () => location.hash === "#draw" && model?.draws === true;

function showView() {
  const drawing = isDrawing();
  byId("chat").hidden = drawing;
  byId("draw").hidden = !drawing;
  for (const [id, here] of [["tab-chat", !drawing], ["tab-draw", drawing]]) {
    if (here) byId(id).setAttribute("aria-current", "page");
    else byId(id).removeAttribute("aria-current");
  }
  document.body.classList.toggle("is-drawing", drawing);
  if (!isCovered() && !matchMedia("(pointer: coarse)").matches) (drawing ? draw : chat).focus(); // no keyboard over half a phone
}
window.addEventListener("hashchange", showView);

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || isCovered()) return;
  if ((isDrawing() ? draw : chat).stop()) event.preventDefault();
});

// ---- colours

const THEMES = { auto: "as the system", light: "light", dark: "dark" };

function showTheme() {
  const theme = document.documentElement.dataset.theme ?? "auto";
  byId("theme").replaceChildren(make("span", { class: "wide" }, theme.charAt(0).toUpperCase() + theme.slice(1)));
  byId("theme").setAttribute("aria-label", `Colours: ${THEMES[theme]}`);
  return theme;
}

byId("theme").addEventListener("click", () => {
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(showTheme()) + 1) % names.length];
  if (next === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  kept("localStorage", "theme", next);
  showTheme();
  announce(`Colours: ${THEMES[next]}`);
});

// ---- settings, dropped files

byId("open-settings").addEventListener("click", () => byId("settings").showModal());
byId("settings-form").addEventListener("submit", (event) => {
  event.preventDefault();
  byId("settings").close();
});
byId("settings").addEventListener("click", (event) => event.target === byId("settings") && byId("settings").close());

const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");

// a file dropped beside the page's places must not replace the page
window.addEventListener("dragover", (event) => {
  if (!holdsFiles(event)) return;
  event.preventDefault();
  byId("drop").hidden = isDrawing() || !model?.sees;
});
window.addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) byId("drop").hidden = true;
});
window.addEventListener("drop", (event) => {
  if (!holdsFiles(event)) return;
  event.preventDefault();
  byId("drop").hidden = true;
  if (!isDrawing()) chat.attach(pictureFiles(event.dataTransfer));
});

prepareEnlarging();
showTheme();
lookNow();
