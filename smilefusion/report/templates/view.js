"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { times, signals, phases, blinks, points, outlines } = data;
  const last = times.length - 1;
  const TOLERANCE = 0.001; // seconds; containers round times to milliseconds
  const MISSING = -32768;

  const byId = (id) => document.getElementById(id);
  const [video, overlay, plot] = ["video", "overlay", "plot"].map(byId);
  const places = new Int16Array(decode(points.data).buffer);
  let index = 0; // frame that the page shows
  let target = 0; // last frame sought
  let aimed = 0; // last time sought
  let isWaiting = false; // whether to seek the target when the current seek ends
  let presented = null; // media time of the picture on screen
  let zoom = 1; // scale of the video and its landmarks
  let draw = null; // moving parts of the plot, and its scale

  function decode(text) {
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  }

  // Time.

  function frameAt(time) {
    let low = 0;
    let high = last;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (times[middle] <= time + TOLERANCE) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  function nearestFrame(time) {
    const frame = frameAt(time);
    const isNext = frame < last && times[frame + 1] - time < time - times[frame];
    return isNext ? frame + 1 : frame;
  }

  function show(frame) {
    index = frame;
    drawLandmarks();
    moveCursor();
    const phase = phases.find(([, start, end]) => start <= times[index] && times[index] <= end);
    const time = times[index].toFixed(2);
    byId("time").textContent = `${time} s, frame ${index + 1} of ${times.length}`;
    plot.setAttribute("aria-valuenow", time);
    const place = phase ? `, ${phase[0]}` : "";
    plot.setAttribute("aria-valuetext", `${time} seconds, frame ${index + 1}${place}`);
  }

  function seek(frame) {
    target = Math.min(Math.max(frame, 0), last);
    show(target);
    if (video.seeking) {
      isWaiting = true;
      return;
    }
    // Aim at the middle of the frame, because browsers may round its start down to the frame before.
    const end = target < last ? times[target + 1] : data.end;
    aimed = Math.max(0, (times[target] + end) / 2);
    video.currentTime = aimed;
  }

  function step(n) {
    video.pause();
    seek(target + n);
  }

  // Draw the landmarks of the picture on screen, even if it is not the target: Chromium can be one
  // frame off if the frame rate of VP8, VP9 or AV1 varies.
  function update() {
    if (video.seeking || isWaiting) return;
    show(presented === null ? frameAt(video.currentTime) : nearestFrame(presented));
    if (!video.paused || Math.abs(video.currentTime - aimed) > TOLERANCE) target = index;
  }

  function togglePlay() {
    if (!video.paused) {
      video.pause();
      return;
    }
    if (index === last) seek(0);
    video.play().catch(() => {});
  }

  if ("requestVideoFrameCallback" in HTMLVideoElement.prototype) {
    const onFrame = (_, frame) => {
      presented = frame.mediaTime;
      update();
      video.requestVideoFrameCallback(onFrame);
    };
    video.requestVideoFrameCallback(onFrame);
  } else {
    const poll = () => {
      update();
      if (!video.paused) requestAnimationFrame(poll);
    };
    video.addEventListener("play", poll);
  }
  video.addEventListener("seeked", () => {
    if (isWaiting) {
      isWaiting = false;
      seek(target);
    } else requestAnimationFrame(update);
  });
  video.addEventListener("ended", () => {
    if (isWaiting) return;
    target = last;
    show(last);
  });

  // Landmarks.

  function drawLandmarks() {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(overlay.clientWidth * ratio * zoom);
    const height = Math.round(overlay.clientHeight * ratio * zoom);
    if (overlay.width !== width || overlay.height !== height) {
      overlay.width = width;
      overlay.height = height;
    }
    const context = overlay.getContext("2d");
    context.clearRect(0, 0, width, height);
    const first = 2 * points.n * index;
    if (!byId("landmarks").checked || places[first] === MISSING) return;
    const scale = points.step * height; // both coordinates are in image heights
    const at = (point) => [places[first + 2 * point] * scale, places[first + 2 * point + 1] * scale];
    const [, top] = at(outlines[0][0]);
    let size = 0;
    for (let point = 0; point < points.n; point += 1) size = Math.max(size, at(point)[1] - top);
    const thick = Math.min(Math.max(size / 160, 0.5 * ratio), 2 * ratio);
    context.lineJoin = "round";
    for (const [style, extra] of [["rgb(0 0 0 / 55%)", 1.2 * thick], ["#7ee8fa", 0]]) {
      context.strokeStyle = style;
      context.lineWidth = thick + extra;
      for (const line of outlines) {
        context.beginPath();
        line.forEach((point) => context.lineTo(...at(point)));
        context.stroke();
      }
    }
    if (size < 120 * ratio) return; // dots would cover a small face
    context.fillStyle = "rgb(255 255 255 / 70%)";
    for (let point = 0; point < points.n; point += 1) {
      const [x, y] = at(point);
      context.fillRect(x - thick / 2, y - thick / 2, thick, thick);
    }
  }

  function middle(values) {
    return values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
  }

  function setZoom() {
    const aspect = video.videoWidth / video.videoHeight;
    const boxes = times.map((_, frame) => {
      const first = 2 * points.n * frame;
      const face = outlines[0].map((point) => [places[first + 2 * point], places[first + 2 * point + 1]]);
      return [0, 1].map((axis) => {
        const along = face.map((place) => place[axis] * points.step);
        return [Math.min(...along), Math.max(...along)];
      });
    }).filter((_, frame) => places[2 * points.n * frame] !== MISSING);
    const size = middle(boxes.map(([, [top, bottom]]) => bottom - top));
    const most = Math.min(6, 0.6 / size);
    byId("closer").parentElement.hidden = most < 1.5;
    zoom = byId("closer").checked ? most : 1;
    const [x, y] = [0, 1].map((axis) => middle(boxes.map((box) => (box[axis][0] + box[axis][1]) / 2)));
    const shift = (place, extent) => Math.min(0, Math.max(extent / 2 - zoom * place, (1 - zoom) * extent));
    const move = `translate(${(100 * shift(x, aspect)) / aspect}%, ${100 * shift(y, 1)}%)`;
    byId("screen").style.setProperty("--zoom", `${move} scale(${zoom})`);
    drawLandmarks();
  }

  // Curves.

  function element(name, attributes, text) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function ticks(low, high, most) {
    const rough = (high - low) / most;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
    const found = [];
    for (let n = Math.ceil(low / step - 1e-9); n * step <= high + 1e-9 * step; n += 1) found.push(n * step);
    return { found, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
  }

  const signed = (value, digits) => value.toFixed(digits).replace("-", "−");

  function pathOf(values, x, y) {
    let isOpen = false;
    return values.map((value, frame) => {
      if (value === null) {
        isOpen = false;
        return "";
      }
      const command = isOpen ? "L" : "M";
      isOpen = true;
      return `${command}${x(times[frame]).toFixed(1)} ${y(value).toFixed(1)}`;
    }).join("");
  }

  function build() {
    const width = plot.clientWidth;
    if (!width) return;
    const [left, right, names, head, gap, foot] = [46, 6, 16, 20, 8, 36];
    const panel = width < 500 ? 62 : 78;
    const bottom = names + signals.length * (head + panel + gap) - gap;
    const height = bottom + gap + foot;
    const start = Math.min(0, times[0]);
    const x = (time) => left + ((time - start) / (data.end - start)) * (width - left - right);
    const svg = element("svg", { height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
    const pattern = element("pattern", {
      id: "hatch", width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)",
    });
    pattern.append(element("line", { class: "zero", x1: 0, y1: 0, x2: 0, y2: 5, style: "stroke-dasharray: none" }));
    svg.append(pattern);
    const values = signals.map((signal, place) => {
      const top = names + place * (head + panel + gap) + head;
      return drawPanel(svg, signal, x, { left, top, panel, right: width - right });
    });
    for (const [name, phaseStart, phaseEnd] of phases) {
      const [from, to] = [x(phaseStart), x(phaseEnd)];
      if (to - from > 7 * name.length) {
        svg.append(element("text", { class: "middle muted", x: (from + to) / 2, y: 12 }, name));
      }
    }
    const { found, digits } = ticks(start, data.end, Math.max(4, width / 110));
    for (const time of found) {
      svg.append(element("text", { class: "middle muted", x: x(time), y: bottom + 15 }, time.toFixed(digits)));
    }
    svg.append(element("text", { class: "middle muted", x: (left + width - right) / 2, y: bottom + 31 }, "time (s)"));
    const cursor = element("line", { class: "cursor", y1: names + 4, y2: bottom });
    svg.append(cursor);
    plot.replaceChildren(svg);
    draw = { cursor, values, x, left, right: width - right, start };
    moveCursor();
  }

  function drawPanel(svg, signal, x, { left, top, panel, right }) {
    const bottom = top + panel;
    const box = { x: left, y: top, width: right - left, height: panel };
    for (const [name, start, end] of phases) {
      svg.append(element("rect", { class: name, x: x(start), y: top, width: x(end) - x(start), height: panel }));
    }
    const known = ["mean", "right", "left"].flatMap((key) => signal[key]).filter((value) => value !== null);
    const text = `${signal.label} (${signal.unit})`;
    svg.append(element("text", { x: left, y: top - 6 }, text));
    if (!known.length) {
      svg.append(element("rect", { class: "frame", ...box }));
      const place = { class: "middle muted", x: (left + right) / 2, y: (top + bottom) / 2 };
      svg.append(element("text", place, `this landmark scheme has no points for the ${signal.label}`));
      return null;
    }
    const [least, most] = [Math.min(0, ...known), Math.max(0, ...known)];
    const margin = Math.max(0.08 * (most - least), 0.01);
    const [low, high] = [least - margin, most + margin];
    const y = (value) => bottom - ((value - low) / (high - low)) * panel;
    const { found, digits } = ticks(low, high, 4);
    for (const value of found) {
      svg.append(element("line", { class: value ? "grid" : "zero", x1: left, x2: right, y1: y(value), y2: y(value) }));
      svg.append(element("text", { class: "end muted", x: left - 5, y: y(value) + 4 }, signed(value, digits)));
    }
    for (const [start, end] of signal.label === "eyelids" ? blinks : []) {
      svg.append(element("rect", { class: "blink", x: x(start), y: top, width: x(end) - x(start), height: panel }));
    }
    for (const key of ["right", "left", "mean"]) {
      svg.append(element("path", { class: key, d: pathOf(signal[key], x, y) }));
    }
    svg.append(element("rect", { class: "frame", ...box }));
    const value = element("text", { class: "end value", x: right, y: top - 6 });
    svg.append(value);
    return value;
  }

  function moveCursor() {
    if (!draw) return;
    const x = draw.x(times[index]);
    draw.cursor.setAttribute("x1", x);
    draw.cursor.setAttribute("x2", x);
    signals.forEach((signal, place) => {
      const value = signal.mean[index];
      if (draw.values[place]) draw.values[place].textContent = value === null ? "–" : signed(value, 3);
    });
  }

  function seekTo(event) {
    const share = (event.clientX - plot.getBoundingClientRect().left - draw.left) / (draw.right - draw.left);
    seek(frameAt(draw.start + share * (data.end - draw.start)));
  }

  // Controls.

  plot.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    plot.setPointerCapture(event.pointerId);
    video.pause();
    seekTo(event);
  });
  plot.addEventListener("pointermove", (event) => {
    if (plot.hasPointerCapture(event.pointerId)) seekTo(event);
  });
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  byId("play").addEventListener("click", togglePlay);
  video.addEventListener("click", togglePlay);
  byId("speed").addEventListener("change", (event) => {
    video.playbackRate = Number(event.target.value);
  });
  byId("landmarks").addEventListener("change", drawLandmarks);
  byId("closer").addEventListener("change", setZoom);
  for (const name of ["play", "pause", "ended"]) {
    video.addEventListener(name, () => {
      byId("play").textContent = video.paused ? "Play" : "Pause";
    });
  }

  const keys = {
    ArrowLeft: () => step(-1),
    ArrowRight: () => step(1),
    Home: () => seek(0),
    End: () => seek(last),
    " ": togglePlay,
  };
  const plotKeys = {
    ArrowDown: () => step(-1),
    ArrowUp: () => step(1),
    PageDown: () => step(-10),
    PageUp: () => step(10),
  };
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const own = event.target.closest("button, input, select");
    if (own && (own.matches("select") || event.key === " ")) return;
    const act = keys[event.key] || (event.target === plot && plotKeys[event.key]);
    if (!act) return;
    event.preventDefault();
    act();
  });

  // Start.

  video.addEventListener("loadedmetadata", () => {
    byId("screen").style.setProperty("--aspect", video.videoWidth / video.videoHeight);
    setZoom();
  });
  video.addEventListener("error", () => {
    const problem = byId("problem");
    problem.textContent = "This browser cannot play the video. You can still use the curves.";
    problem.hidden = false;
  });
  video.controls = false;
  plot.setAttribute("aria-valuemin", times[0].toFixed(2));
  plot.setAttribute("aria-valuemax", times[last].toFixed(2));
  const source = video.getAttribute("src");
  if (source.startsWith("data:")) { // Safari does not play data URIs
    const [, type, content] = source.match(/^data:([^;]+);base64,(.*)$/s);
    video.src = URL.createObjectURL(new Blob([decode(content)], { type }));
  }
  new ResizeObserver(build).observe(plot);
  new ResizeObserver(drawLandmarks).observe(overlay);
  build();
  show(0);
})();
