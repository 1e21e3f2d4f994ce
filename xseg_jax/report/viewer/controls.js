// The controls of the viewer: one state, one function that shows it.

const KEEP = 2; // slices on each side of the one shown stay in memory

/** Four digits are more than 256 levels have. */
const short = (value) => String(Number(value.toPrecision(4)));

/** 1, 2 or 5 times a power of ten: the largest that is not above `most`. */
function roundLength(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  return [5, 2, 1].find((digit) => digit * power <= most * (1 + 1e-9)) * power;
}

function startViewer(root) {
  const data = JSON.parse(root.querySelector(".xv-data").textContent);
  const part = (name) => root.querySelector(`.xv-${name}`);
  const canvas = root.querySelector("canvas");
  const layerRows = new Map(
    [...root.querySelectorAll("[data-layer]")].map((row) => [row.dataset.layer, row]),
  );
  const state = {
    index: 0,
    slice: null, // what is painted; it follows the index when its pixels are there
    point: null,
    look: {
      layers: {}, outlined: part("drawn").querySelector("[value=outlined]").checked, hidden: new Set(), overlaid: data.overlaid, range: [0, 255],
    },
  };
  const { look } = state;
  for (const [name, row] of layerRows) {
    const [box, slider] = row.querySelectorAll("input");
    look.layers[name] = { on: box.checked, opacity: slider.value / 100, other: data.filled };
  }

  // Slices are inflated when they are shown, and their neighbours ahead.
  const loaded = new Map();

  async function inflated(index) {
    const { width, height, pixels } = data.slices[index];
    const names = ["image", "predicted", "truth", "doubt"];
    const arrays = await Promise.all(names.map((n) => (pixels[n] ? inflate(pixels[n]) : null)));
    return { index, width, height, ...Object.fromEntries(names.map((n, i) => [n, arrays[i]])) };
  }

  function load(index) {
    if (!loaded.has(index)) loaded.set(index, inflated(index));
    return loaded.get(index);
  }

  async function show(index) {
    state.index = Math.min(Math.max(index, 0), data.slices.length - 1);
    renderNames();
    const slice = await load(state.index);
    if (slice.index !== state.index) return; // Somebody was faster.
    state.slice = slice;
    render();
    for (const key of loaded.keys()) if (Math.abs(key - slice.index) > KEEP) loaded.delete(key);
    for (const near of [slice.index + 1, slice.index - 1]) if (data.slices[near]) load(near);
  }

  // What is shown of the state.

  function renderNames() {
    const { name, z, accuracy } = data.slices[state.index];
    const facts = [z === null ? null : `z ${z}`];
    facts.push(accuracy === null ? null : `accuracy ${accuracy.toFixed(4)}`);
    part("name").textContent = part("name").title = name;
    part("facts").textContent = facts.filter(Boolean).join(" · ");
    part("slider").value = state.index;
    part("slider").setAttribute("aria-valuetext", name);
    part("count").textContent = `${state.index + 1} / ${data.slices.length}`;
    // Not disabled, for a button that loses the focus takes the keys with it.
    part("back").setAttribute("aria-disabled", state.index === 0);
    part("on").setAttribute("aria-disabled", state.index === data.slices.length - 1);
    for (const button of root.querySelectorAll("[data-slice]")) {
      button.setAttribute("aria-current", Number(button.dataset.slice) === state.index);
    }
  }

  function renderControls() {
    const there = { ...state.slice, errors: state.slice.truth, overlay: state.slice.truth };
    for (const [name, row] of layerRows) {
      const [box, slider] = row.querySelectorAll("input");
      box.checked = look.layers[name].on;
      box.disabled = slider.disabled = !there[name];
      slider.value = Math.round(100 * look.layers[name].opacity);
    }
    for (const radio of root.querySelectorAll(".xv-drawn input")) {
      radio.checked = (radio.value === "outlined") === look.outlined;
    }
    const select = root.querySelector(".xv-overlaid select");
    if (select) select.value = look.overlaid;
    for (const box of root.querySelectorAll(".xv-classes input")) {
      box.checked = !look.hidden.has(Number(box.value));
    }
    look.range.forEach((level, i) => {
      part(["black", "white"][i]).value = level;
      part(["black", "white"][i]).setAttribute("aria-valuetext", grey(level));
      part(["black-at", "white-at"][i]).textContent = grey(level);
    });
  }

  function render() {
    renderControls();
    view.show(paint(state.slice, look, data.colours));
    renderPoint();
    const on = [...layerRows].filter(([name]) => look.layers[name].on);
    const shown = on.map(([, row]) => row.querySelector("label").textContent.trim()).join(", ");
    canvas.setAttribute("aria-label", `${data.slices[state.index].name}: ${shown || "nothing"}`);
    root.dataset.shown = state.slice.index;
  }

  const grey = (level) => {
    const { low, high } = data.slices[state.index];
    return short(low + (level / 255) * (high - low));
  };

  function renderPoint() {
    const pixel = state.point && state.slice && view.pixelAt(state.point);
    const i = pixel && pixel.y * state.slice.width + pixel.x;
    const value = (name) => (pixel && state.slice[name] ? state.slice[name][i] : null);
    const className = (k) => (k === NOT_LABELLED ? "not labelled" : data.names[k]);
    const say = (name, map) => {
      const where = part(`at-${name}`);
      if (where) where.textContent = value(name) === null ? "–" : map(value(name));
    };
    const at = pixel ? [pixel.x, pixel.y].map((n) => n * data.factor).join(", ") : "–";
    part("at-place").textContent = at;
    say("image", grey);
    say("predicted", className);
    say("truth", className);
    say("doubt", (level) => (level / 255).toFixed(2));
  }

  function renderScale() {
    if (!data.pixel_size || !state.slice) return;
    const each = view.magnification() / data.pixel_size; // CSS pixels for one unit of length
    const length = roundLength(canvas.clientWidth / 4 / each);
    // As a share of the width, which stays right on paper.
    part("scale-bar").style.width = `${(100 * length * each) / canvas.clientWidth}cqw`;
    part("scale-text").textContent = `${short(length)} ${data.unit}`;
  }

  const view = createView(canvas, () => {
    renderScale();
    renderPoint();
  });

  // What changes the state.

  function setLayer(name, change) {
    if (!layerRows.has(name)) return;
    Object.assign(look.layers[name], change);
    // All classes, and what is wrong of any, would hide what is told of one.
    if (name === "overlay" && change.on) {
      for (const other of ["predicted", "truth", "errors"]) look.layers[other].on = false;
    }
    render();
  }

  const toggle = (name) => () => setLayer(name, { on: !look.layers[name]?.on });

  /** Levels of black and white; white stays above black, and the one that was moved wins. */
  function setRange(black, white, moved = 0) {
    black = Math.min(Math.max(black, 0), 254);
    white = Math.min(Math.max(white, 1), 255);
    if (black > white - 1) [black, white] = moved ? [white - 1, white] : [black, black + 1];
    look.range = [black, white];
    render();
  }

  /** To the right more contrast, up brighter. */
  function dragRange(dx, dy) {
    const [black, white] = look.range;
    const half = Math.max(1, (white - black) / 2 - dx / 4);
    const level = (black + white) / 2 + dy / 4;
    setRange(level - half, level + half);
  }

  /** Lines and areas each keep their opacity. */
  function setOutlined(outlined) {
    if (outlined === look.outlined) return;
    look.outlined = outlined;
    for (const layer of [look.layers.predicted, look.layers.truth].filter(Boolean)) {
      [layer.opacity, layer.other] = [layer.other, layer.opacity];
    }
    render();
  }

  function showNextWorst() {
    const place = data.worst.indexOf(state.index);
    if (data.worst.length) show(data.worst[(place + 1) % data.worst.length]);
  }

  const step = 64; // CSS pixels that Shift and an arrow move by
  const KEYS = {
    ArrowLeft: () => show(state.index - 1),
    ArrowRight: () => show(state.index + 1),
    Home: () => show(0),
    End: () => show(data.slices.length - 1),
    "Shift+ArrowLeft": () => view.move(step, 0),
    "Shift+ArrowRight": () => view.move(-step, 0),
    "Shift+ArrowUp": () => view.move(0, step),
    "Shift+ArrowDown": () => view.move(0, -step),
    o: () => setOutlined(!look.outlined),
    w: showNextWorst,
    r: () => setRange(0, 255),
    "+": () => view.zoom(1.5),
    "=": () => view.zoom(1.5), // The same key, without Shift, on many keyboards.
    "-": () => view.zoom(1 / 1.5),
    0: view.fit,
  };
  for (const [name, row] of layerRows) KEYS[row.dataset.key] = toggle(name);

  root.addEventListener("keydown", (event) => {
    if (!state.slice || event.ctrlKey || event.metaKey || event.altKey) return;
    const moves = /^(Arrow|Home|End)/.test(event.key);
    // A slider in the focus, or a choice, has its own use for these.
    if (event.target.matches("select")) return;
    if (moves && event.target.matches("[type=range], [type=radio]")) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const action = KEYS[event.shiftKey && moves ? `Shift+${key}` : key];
    if (!action) return;
    event.preventDefault();
    action();
  });

  function listen() {
    part("panel").addEventListener("submit", (event) => event.preventDefault());
    part("slider").addEventListener("input", (event) => show(Number(event.target.value)));
    part("back").addEventListener("click", () => show(state.index - 1));
    part("on").addEventListener("click", () => show(state.index + 1));
    for (const [name, row] of layerRows) {
      const [box, slider] = row.querySelectorAll("input");
      box.addEventListener("change", () => setLayer(name, { on: box.checked }));
      slider.addEventListener("input", () =>
        setLayer(name, { on: true, opacity: slider.value / 100 }),
      );
    }
    for (const radio of root.querySelectorAll(".xv-drawn input")) {
      radio.addEventListener("change", () => setOutlined(radio.value === "outlined"));
    }
    for (const box of root.querySelectorAll(".xv-classes input")) {
      box.addEventListener("change", () => {
        look.hidden[box.checked ? "delete" : "add"](Number(box.value));
        render();
      });
    }
    root.querySelector(".xv-overlaid select")?.addEventListener("change", (event) => {
      look.overlaid = Number(event.target.value);
      setLayer("overlay", { on: true });
    });
    ["black", "white"].forEach((name, moved) => {
      part(name).addEventListener("input", () =>
        setRange(Number(part("black").value), Number(part("white").value), moved),
      );
    });
    part("reset").addEventListener("click", () => setRange(0, 255));
    part("closer").addEventListener("click", () => view.zoom(1.5));
    part("away").addEventListener("click", () => view.zoom(1 / 1.5));
    part("fit").addEventListener("click", view.fit);
    for (const button of root.querySelectorAll("[data-slice]")) {
      button.addEventListener("click", () => show(Number(button.dataset.slice)));
    }
    followPointers(canvas, view, dragRange, (point) => {
      state.point = point;
      renderPoint();
    });
  }

  listen();
  if (!("DecompressionStream" in window)) {
    part("facts").textContent = "cannot be shown: this browser is from before 2023";
    return;
  }
  show(data.worst.length ? data.worst[0] : 0); // What is wrong is to be seen first.
  root.viewer = { state, view, loaded, show }; // For whoever builds on it.
}
