// A slice: what is painted over what, and the canvas that shows it, zoomed and moved.
// Nothing here knows a control, so that other pages can use it with controls of their own.
//
// A slice is {width, height, image, predicted, truth, doubt}: a Uint8Array of width * height
// each, null where there is none. A look is what to paint of it:
// {layers: {image: {on, opacity}, ...}, outlined, hidden: Set of classes, overlaid: one class,
// range: [black, white]}.

const NOT_LABELLED = 255;

/** Base64 of deflated bytes -> the bytes, exactly. */
async function inflate(text) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Marks the pixels that have a neighbour, of four, of another value. */
function edgesOf(values, width, height) {
  const edges = new Uint8Array(values.length);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (x + 1 < width && values[i] !== values[i + 1]) edges[i] = edges[i + 1] = 1;
      if (y + 1 < height && values[i] !== values[i + width]) edges[i] = edges[i + width] = 1;
    }
  }
  return edges;
}

/** Mixes a colour into pixel i. */
function mix(rgba, i, colour, opacity) {
  for (let channel = 0; channel < 3; channel++) {
    const j = 4 * i + channel;
    rgba[j] = (1 - opacity) * rgba[j] + opacity * colour[channel];
  }
}

/** Grey levels, black below range[0] and white above range[1]; darker where less opaque. */
function paintImage(rgba, slice, look) {
  const [black, white] = look.range;
  const { on, opacity } = look.layers.image;
  const shades = new Uint8ClampedArray(256);
  for (let level = 0; on && level < 256; level++) {
    const shade = (255 * (level - black)) / (white - black);
    shades[level] = opacity * Math.min(Math.max(shade, 0), 255);
  }
  for (let i = 0; i < slice.image.length; i++) {
    rgba[4 * i] = rgba[4 * i + 1] = rgba[4 * i + 2] = shades[slice.image[i]];
    rgba[4 * i + 3] = 255;
  }
}

function paintClasses(rgba, slice, classes, look, opacity, colours) {
  const edges = look.outlined ? edgesOf(classes, slice.width, slice.height) : null;
  const shown = colours.classes.map((colour, k) => (look.hidden.has(k) ? null : colour));
  for (let i = 0; i < classes.length; i++) {
    const colour = shown[classes[i]]; // None for what is not labelled.
    if (colour && (!edges || edges[i])) mix(rgba, i, colour, opacity);
  }
}

function paintDoubt(rgba, slice, opacity, colours) {
  for (let i = 0; i < slice.doubt.length; i++) {
    mix(rgba, i, colours.doubt, (opacity * slice.doubt[i]) / 255);
  }
}

/** One class: where it is predicted alone, labelled alone, or both. */
function paintOverlay(rgba, slice, look, opacity, colours) {
  const tints = colours.overlay;
  for (let i = 0; i < slice.truth.length; i++) {
    if (slice.truth[i] === NOT_LABELLED) continue;
    const predicted = slice.predicted[i] === look.overlaid;
    const labelled = slice.truth[i] === look.overlaid;
    if (!predicted && !labelled) continue;
    const [colour, most] = tints[predicted && labelled ? 2 : labelled ? 1 : 0];
    mix(rgba, i, colour, opacity * most);
  }
}

function paintErrors(rgba, slice, opacity, colours) {
  for (let i = 0; i < slice.truth.length; i++) {
    const wrong = slice.truth[i] !== NOT_LABELLED && slice.truth[i] !== slice.predicted[i];
    if (wrong) mix(rgba, i, colours.errors, opacity);
  }
}

/** The layers of a slice, one over the other, a pixel a pixel. */
function paint(slice, look, colours) {
  const picture = new ImageData(slice.width, slice.height);
  const rgba = picture.data;
  const { predicted, truth, overlay, doubt, errors } = look.layers;
  paintImage(rgba, slice, look);
  for (const [layer, classes] of [[predicted, slice.predicted], [truth, slice.truth]]) {
    if (layer?.on && classes) paintClasses(rgba, slice, classes, look, layer.opacity, colours);
  }
  if (overlay?.on && slice.truth) paintOverlay(rgba, slice, look, overlay.opacity, colours);
  if (doubt?.on && slice.doubt) paintDoubt(rgba, slice, doubt.opacity, colours);
  if (errors?.on && slice.truth) paintErrors(rgba, slice, errors.opacity, colours);
  return picture;
}

/**
 * A canvas that shows a picture whole, or a part of it larger.
 *
 * Lengths are in pixels of the screen, those of events in CSS pixels. `onMove` is called after
 * whatever changes the scale. The picture fills the canvas or lies in its middle; what was in
 * view stays in view when a picture of the same size follows.
 */
function createView(canvas, onMove) {
  const MOST = 64; // pixels of the screen for one of the picture
  const context = canvas.getContext("2d");
  const source = document.createElement("canvas");
  const view = { scale: 1, x: 0, y: 0, fitted: true, source };

  const density = () => canvas.width / (canvas.clientWidth || 1);
  const fitting = () => Math.min(canvas.width / source.width, canvas.height / source.height);

  /** Where the picture begins, so that it fills the canvas or lies in its middle. */
  function held(start, size, room) {
    return size <= room ? (room - size) / 2 : Math.min(0, Math.max(room - size, start));
  }

  function draw() {
    if (view.fitted) view.scale = fitting();
    const width = source.width * view.scale;
    const height = source.height * view.scale;
    view.x = held(view.x, width, canvas.width);
    view.y = held(view.y, height, canvas.height);
    // Pixels are squares; only where several share one of the screen are they averaged.
    context.imageSmoothingEnabled = view.scale < 1;
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(source, view.x, view.y, width, height);
    // One finger scrolls the page as long as there is nothing to move.
    canvas.style.touchAction = view.fitted ? "pan-y" : "none";
    canvas.style.cursor = view.fitted ? "crosshair" : "grab";
    onMove();
  }

  /** CSS pixels of the screen for one pixel of the picture. */
  view.magnification = () => view.scale / density();

  view.show = (picture) => {
    if (picture.width !== source.width || picture.height !== source.height) view.fitted = true;
    source.width = picture.width;
    source.height = picture.height;
    source.getContext("2d").putImageData(picture, 0, 0);
    draw();
  };

  view.fit = () => {
    view.fitted = true;
    draw();
  };

  /** Zooms about a point of the window, or about the middle. */
  view.zoom = (factor, point = null) => {
    const box = canvas.getBoundingClientRect();
    const u = density() * (point ? point.x - box.left : box.width / 2);
    const v = density() * (point ? point.y - box.top : box.height / 2);
    const scale = Math.min(MOST, view.scale * factor);
    view.fitted = scale <= fitting();
    view.x = u - ((u - view.x) * scale) / view.scale;
    view.y = v - ((v - view.y) * scale) / view.scale;
    view.scale = scale;
    draw();
  };

  view.move = (dx, dy) => {
    view.x += dx * density();
    view.y += dy * density();
    draw();
  };

  /** The pixel of the picture under a point of the window, or null. */
  view.pixelAt = (point) => {
    const box = canvas.getBoundingClientRect();
    const x = Math.floor(((point.x - box.left) * density() - view.x) / view.scale);
    const y = Math.floor(((point.y - box.top) * density() - view.y) / view.scale);
    return x >= 0 && y >= 0 && x < source.width && y < source.height ? { x, y } : null;
  };

  new ResizeObserver(() => {
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * devicePixelRatio));
    canvas.parentElement.style.setProperty("--xv-shape", canvas.width / canvas.height);
    draw();
  }).observe(canvas);
  return view;
}

/**
 * Moves a view by mouse, pen and fingers: one drags, two pinch, a wheel zooms where it points.
 *
 * The wheel is the page's until the canvas has the focus, or with Ctrl (a pinch on a touchpad).
 * `onRange(dx, dy)` is told of drags with the right button, `onPoint(point)` of where the
 * pointer is, null when it has left.
 */
function followPointers(canvas, view, onRange, onPoint) {
  const pointers = new Map();
  const middle = () => {
    const points = [...pointers.values()];
    const sum = points.reduce((a, b) => ({ x: a.x + b.x, y: a.y + b.y }));
    return { x: sum.x / points.length, y: sum.y / points.length };
  };
  const spread = () => {
    const [a, b] = pointers.values();
    return b ? Math.hypot(a.x - b.x, a.y - b.y) : 1;
  };

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    onPoint({ x: event.clientX, y: event.clientY });
  });
  canvas.addEventListener("pointermove", (event) => {
    const point = { x: event.clientX, y: event.clientY };
    if (pointers.has(event.pointerId)) {
      const before = { ...middle(), spread: spread() };
      pointers.set(event.pointerId, point);
      const after = middle();
      const [dx, dy] = [after.x - before.x, after.y - before.y];
      if (event.buttons & 2) onRange(dx, dy);
      else view.move(dx, dy);
      if (pointers.size > 1) view.zoom(spread() / before.spread, after);
    }
    onPoint(point);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, (event) => pointers.delete(event.pointerId));
  }
  // What a finger has touched is read after it has gone.
  canvas.addEventListener("pointerleave", (event) => {
    if (event.pointerType !== "touch") onPoint(null);
  });
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey && !canvas.parentElement.contains(document.activeElement)) return;
      event.preventDefault();
      // A touchpad sends many small steps, a mouse a large one, which is no larger than a key's.
      const turned = Math.min(Math.max(event.deltaMode ? 20 * event.deltaY : event.deltaY, -40), 40);
      view.zoom(1.5 ** (-turned / 40), { x: event.clientX, y: event.clientY });
    },
    { passive: false },
  );
}
