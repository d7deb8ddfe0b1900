/* The offline map page of dronesense. Every text of the data goes to the page as text, never as markup. */
"use strict";
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const spots = data.hotspots;
  const colors = data.colors;
  const markers = new Map();
  let language = data.language;
  let shown = [];
  let chosen = null;
  let plots = [];

  // --- words ---------------------------------------------------------------------------------------------

  function say(key, ...values) {
    const table = data.strings[language] || data.strings.en;
    const text = Object.hasOwn(table, key) ? table[key] : key;
    return text.replace(/\{(\d)\}/g, (_, place) => String(values[Number(place)]));
  }

  function element(tag, text, attributes) {
    const made = document.createElement(tag);
    if (text !== undefined && text !== null) made.textContent = String(text);
    for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
    return made;
  }

  function fill(parent, children) {
    parent.replaceChildren(...children.filter(Boolean));
    return parent;
  }

  const shortly = (value, digits = 4) => (typeof value === "number" ? String(Number(value.toPrecision(digits))) : "");
  const clock = (stamp) => (stamp ? String(stamp).slice(11, 19) : "");
  const colorOf = (spot) => colors[spot.kind] || colors.other;
  const statusOf = (spot) => (spot.status === "rejected" ? say("rejected_status") : say(String(spot.status)));

  // --- map -----------------------------------------------------------------------------------------------

  const map = L.map("map", { preferCanvas: true, attributionControl: false, zoomSnap: 0.25, maxZoom: 26, keyboard: false });
  const layers = L.control.layers({}, {}, { collapsed: map.getSize().x < 700 });
  const ground = L.layerGroup().addTo(map);
  const marks = L.layerGroup().addTo(map);
  const selection = L.layerGroup().addTo(map);
  const ruler = L.layerGroup().addTo(map);
  const legend = L.control({ position: "bottomright" });
  const latlon = (place) => [place[1], place[0]];
  const text = (words) => () => element("span", words);
  legend.onAdd = () => element("div", "", { class: "legend", hidden: "" });

  function plain(words) {
    const holder = document.createElement("span");
    holder.textContent = words;
    return holder.innerHTML; // the layer control takes markup: this is the escaped text
  }

  function drawGround() {
    ground.clearLayers();
    data.overlays.forEach((each, number) => {
      const image = L.imageOverlay(each.url, each.bounds, { opacity: each.picture ? 1 : 0.75, interactive: false });
      const label = each.unit ? `${each.name} [${each.unit}]` : each.name;
      image.on("add", () => showLegend(each));
      image.on("remove", () => showLegend(null));
      layers.addOverlay(image, plain(label));
      if (each.picture || number === 0) image.addTo(map);
    });
    const coverage = L.geoJSON(data.coverage, { style: { color: colors.coverage, weight: 1.5, fill: false, dashArray: "4 4" }, interactive: false });
    const track = L.polyline(data.track.map((part) => part.map(latlon)), { color: colors.track, weight: 1.5, interactive: false });
    layers.addOverlay(coverage.addTo(map), plain(say("coverage")));
    layers.addOverlay(track.addTo(map), plain(say("track")));
    for (const gas of data.gas) layers.addOverlay(samples(gas), plain(say("samples", gas.species)));
    layers.addOverlay(marks, plain(say("hotspots")));
    return [coverage, track];
  }

  function samples(gas) {
    const group = L.layerGroup();
    const values = gas.value.filter((value) => value !== null).sort((a, b) => a - b);
    const at = (share) => values[Math.min(values.length - 1, Math.floor(share * values.length))];
    const low = at(0.02), high = at(0.995);
    const step = Math.max(1, Math.ceil(gas.time.length / 20000));
    group.on("add", () => {
      if (group.getLayers().length) return;
      for (let i = 0; i < gas.time.length; i += step) {
        if (gas.lat[i] === null || gas.value[i] === null) continue;
        const dot = L.circleMarker([gas.lat[i], gas.lon[i]], { radius: 3, stroke: false, fillOpacity: 0.9, fillColor: ramp((gas.value[i] - low) / (high - low || 1)) });
        dot.bindTooltip(text(`${gas.species} ${shortly(gas.value[i])} ${gas.unit}  ${new Date(gas.start + gas.time[i]).toISOString().slice(11, 19)}`));
        group.addLayer(dot);
      }
      showLegend({ name: gas.species, unit: gas.unit, low, high });
    });
    return group;
  }

  function ramp(share) {
    const place = Math.max(0, Math.min(1, share)) * (data.ramp.length - 1);
    const stop = Math.min(Math.floor(place), data.ramp.length - 2);
    const part = (color, k) => parseInt(color.slice(1 + 2 * k, 3 + 2 * k), 16);
    const mixed = [0, 1, 2].map((k) => Math.round(part(data.ramp[stop], k) + (place - stop) * (part(data.ramp[stop + 1], k) - part(data.ramp[stop], k))));
    return `rgb(${mixed.join(",")})`;
  }

  function showLegend(scale) {
    const box = legend.getContainer();
    if (!box) return;
    box.hidden = !scale || scale.low === undefined || scale.low === null;
    if (!box.hidden) fill(box, [element("div", `${scale.name} [${scale.unit}]`), element("div", "", { class: "ramp" }), element("div", `${shortly(scale.low, 3)} – ${shortly(scale.high, 3)}`)]);
  }

  function drawMarks() {
    marks.clearLayers();
    markers.clear();
    for (const spot of [...shown].reverse()) {
      const color = colorOf(spot);
      const faint = spot.status === "rejected" ? 0.25 : 1;
      if (spot.geometry.type !== "Point") {
        const shape = L.geoJSON(spot.geometry, { style: { color, weight: 2, opacity: 0.8 * faint, fillOpacity: 0.15 * faint } });
        shape.on("click", () => choose(spot, false));
        marks.addLayer(shape);
      }
      const marker = L.circleMarker([spot.lat, spot.lon], { radius: 4 + 4 * spot.strength, color: "#ffffff", weight: 1, fillColor: color, fillOpacity: 0.9 * faint, opacity: faint });
      marker.bindTooltip(text(`${spot.target}  ${say("score")} ${shortly(spot.score)}`));
      marker.on("click", () => choose(spot, false));
      markers.set(spot.id, marker);
      marks.addLayer(marker);
    }
  }

  // --- measuring -----------------------------------------------------------------------------------------

  let measured = null;

  function measure(on) {
    measured = on ? [] : null;
    ruler.clearLayers();
    byId("measure").setAttribute("aria-pressed", String(on));
    map.getContainer().style.cursor = on ? "crosshair" : "";
  }

  map.on("click", (event) => {
    if (!measured) return;
    measured.push(event.latlng);
    ruler.clearLayers();
    let length = 0;
    for (let i = 1; i < measured.length; i++) length += measured[i - 1].distanceTo(measured[i]);
    L.polyline(measured, { color: colors.ruler, dashArray: "6 4", interactive: false }).addTo(ruler);
    const end = L.circleMarker(event.latlng, { radius: 3, color: colors.ruler, interactive: false }).addTo(ruler);
    if (measured.length > 1) end.bindTooltip(text(say("distance", length.toFixed(length < 100 ? 1 : 0))), { permanent: true });
  });

  // --- list and filters ----------------------------------------------------------------------------------

  function seconds(written) {
    const parts = written.split(":").map(Number);
    return parts.length < 2 || parts.some(Number.isNaN) ? null : parts[0] * 3600 + parts[1] * 60 + (parts[2] || 0);
  }

  const ofDay = (stamp) => (stamp ? seconds(clock(stamp)) : null);

  function filter() {
    const value = (id) => byId(id).value;
    const keep = Math.ceil(spots.length * (1 - Number(value("least")) / 100));
    const from = seconds(value("from")), until = seconds(value("until"));
    shown = spots.filter((spot, rank) =>
      rank < keep &&
      ["kind", "target", "status"].every((key) => value(key) === "" || String(spot[key]) === value(key)) &&
      (from === null || spot.end === null || ofDay(spot.end) >= from) &&
      (until === null || spot.start === null || ofDay(spot.start) <= until));
    byId("least-shown").textContent = value("least");
    byId("count").textContent = spots.length ? say("shown", shown.length, spots.length) : say("none");
    drawMarks();
    drawList();
    if (chosen && !shown.includes(chosen)) choose(null, false);
  }

  function drawList() {
    fill(byId("list"), shown.map((spot) => {
      const row = element("li", null, { "data-id": spot.id, role: "option", "aria-selected": String(spot === chosen) });
      const dot = element("i", "", { class: "dot" });
      dot.style.background = colorOf(spot);
      const name = element("b", spot.target, { class: spot.status === "rejected" ? "rejected" : "" });
      const amount = spot.value === null ? "" : `${shortly(spot.value, 3)} ${spot.unit || ""}`.trim();
      fill(row, [dot, name, element("span", [`${say("score")} ${shortly(spot.score)}`, amount, spot.ce90_m === null ? "" : `${say("error90")}: ${shortly(spot.ce90_m, 3)} m`, spot.n_passes ? `${say("passes")}: ${spot.n_passes}` : "", clock(spot.start)].filter(Boolean).join(" · "))]);
      row.addEventListener("click", () => choose(spot, true));
      return row;
    }));
  }

  function options(id) {
    const chosenBefore = byId(id).value;
    const found = [...new Set(spots.map((spot) => String(spot[id])))].sort();
    const label = (value) => (id === "kind" || id === "status" ? (value === "rejected" ? say("rejected_status") : say(value)) : value);
    fill(byId(id), [element("option", say("any"), { value: "" }), ...found.map((value) => element("option", label(value), { value }))]);
    byId(id).value = chosenBefore;
  }

  // --- one hotspot ---------------------------------------------------------------------------------------

  function choose(spot, move) {
    chosen = spot;
    selection.clearLayers();
    for (const row of byId("list").children) {
      const mine = spot !== null && row.dataset.id === spot.id;
      row.setAttribute("aria-selected", String(mine));
      if (mine) row.scrollIntoView({ block: "nearest" });
    }
    if (spot) {
      if (spot.ce90_m !== null) L.circle([spot.lat, spot.lon], { radius: spot.ce90_m, color: colors.selected, weight: 2, fill: false, dashArray: "3 3", interactive: false }).addTo(selection);
      L.circleMarker([spot.lat, spot.lon], { radius: 13, color: colors.selected, weight: 2, fill: false, interactive: false }).addTo(selection);
      if (move && !map.getBounds().contains([spot.lat, spot.lon])) map.panTo([spot.lat, spot.lon], { animate: false });
    }
    drawDetails();
  }

  function zoomTo(spot) {
    const reach = Math.max(10, 4 * (spot.ce90_m || 0));
    map.fitBounds(L.latLng(spot.lat, spot.lon).toBounds(2 * reach), { animate: false });
  }

  function drawDetails() {
    plots.forEach((plot) => plot.destroy());
    plots = [];
    const panel = byId("details");
    if (!chosen) {
      fill(panel, [element("p", spots.length ? say("choose") : "", { class: "note" })]);
      return;
    }
    const rows = data.columns.filter((column) => chosen[column.name] !== null && chosen[column.name] !== undefined && chosen[column.name] !== "" && column.name !== "flags");
    const table = element("table", null, { class: "facts" });
    fill(table, rows.map((column) => {
      const row = element("tr");
      const value = chosen[column.name];
      const written = column.name === "status" ? statusOf(chosen) : column.name === "kind" ? say(String(value)) : typeof value === "number" && !["lon", "lat"].includes(column.name) ? shortly(value, 6) : value;
      return fill(row, [element("th", column.alias, { title: column.about }), element("td", written)]);
    }));
    fill(panel, [
      element("h2", `${chosen.target} (${statusOf(chosen)})`),
      element("p", say("wording"), { class: "note" }),
      chosen.flags ? element("p", `${say("limits")}: ${chosen.flags}`, { class: "limits" }) : null,
      element("h3", say("places")), places(),
    ]);
    for (const seen of data.spectra[chosen.id] || []) spectrum(panel, seen);
    for (const gas of data.gas) if (chosen.kind !== "spectral" && chosen.species.includes(gas.species)) trace(panel, gas);
    panel.append(table);
  }

  function places() {
    const grid = element("div", null, { class: "places" });
    for (const [name, written] of Object.entries(chosen.places)) {
      const button = element("button", say("copy"), { type: "button" });
      button.addEventListener("click", () => copy(written, button));
      grid.append(element("span", name), element("code", written), button);
    }
    return grid;
  }

  function copy(written, button) {
    const done = () => { if (button) { button.textContent = say("copied"); setTimeout(() => { button.textContent = say("copy"); }, 1500); } };
    const byHand = () => {
      const field = element("textarea", written);
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
      done();
    };
    if (navigator.clipboard && window.isSecureContext) navigator.clipboard.writeText(written).then(done, byHand);
    else byHand();
  }

  // --- plots ---------------------------------------------------------------------------------------------

  const ink = () => getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
  const axis = (label) => ({ label, stroke: ink(), grid: { stroke: "#88888833" }, ticks: { stroke: "#88888866" }, size: 44, font: "11px sans-serif", labelFont: "11px sans-serif", labelSize: 18 });

  function plot(parent, options, values, bands) {
    const holder = element("div", null, { class: "plot" });
    parent.append(holder);
    const hooks = bands ? { drawClear: [bands] } : {};
    plots.push(new uPlot({ width: Math.max(260, parent.clientWidth - 20), height: 190, cursor: { drag: { x: true, y: false } }, legend: { live: false }, hooks, ...options }, values, holder));
  }

  function spectrum(panel, seen) {
    panel.append(element("h3", `${say("spectrum")}: ${seen.source}`));
    const known = seen.center_nm.map((value, band) => (seen.good[band] && value !== null ? band : -1)).filter((band) => band >= 0);
    const pick = (list) => known.map((band) => list[band]);
    const mixture = known.map((band) => (seen.signature[band] === null || seen.background[band] === null || seen.fill === null ? null : seen.fill * seen.signature[band] + (1 - seen.fill) * seen.background[band]));
    const residual = known.map((band, place) => (mixture[place] === null || seen.pixel[band] === null ? null : seen.pixel[band] - mixture[place]));
    const widths = pick(seen.fwhm_nm);
    const centers = pick(seen.center_nm);
    const shadeBands = (u) => {
      if (centers.length > 40) return; // bands that overlap tell nothing as boxes
      u.ctx.fillStyle = "#88888822";
      centers.forEach((center, band) => {
        if (!widths[band]) return;
        const left = u.valToPos(center - widths[band] / 2, "x", true), right = u.valToPos(center + widths[band] / 2, "x", true);
        u.ctx.fillRect(left, u.bbox.top, right - left, u.bbox.height);
      });
    };
    const lines = [
      { label: say("pixel"), stroke: colors.spectral, width: 2 }, { label: say("signature"), stroke: colors.gas, width: 1.5 },
      { label: say("around"), stroke: colors.coverage, width: 1 }, { label: say("mixture"), stroke: colors.fused, width: 1, dash: [4, 3] },
    ];
    plot(panel, { scales: { x: { time: false } }, axes: [axis(say("wavelength")), axis(seen.unit)], series: [{ label: "nm" }, ...lines] },
      [centers, pick(seen.pixel), pick(seen.signature), pick(seen.background), mixture], shadeBands);
    if (residual.some((value) => value !== null)) {
      plot(panel, { height: 100, scales: { x: { time: false } }, axes: [axis(""), axis("")], series: [{ label: "nm" }, { label: say("residual"), stroke: colors.spectral, width: 1 }] }, [centers, residual]);
    }
  }

  function trace(panel, gas) {
    const begin = Date.parse(chosen.start), end = Date.parse(chosen.end);
    const margin = Math.max(20000, 2 * (end - begin));
    const inside = [];
    gas.time.forEach((time, row) => { if (gas.start + time >= begin - margin && gas.start + time <= end + margin) inside.push(row); });
    if (!inside.length) return;
    panel.append(element("h3", `${say("trace")}: ${gas.species} [${gas.unit}]`));
    const pick = (list) => inside.map((row) => list[row]);
    const level = gas.limit === null ? null : inside.map((row) => (gas.background[row] === null ? null : gas.background[row] + gas.limit));
    const window_ = (u) => {
      const left = u.valToPos(begin / 1000, "x", true), right = u.valToPos(end / 1000, "x", true);
      u.ctx.fillStyle = "#e69f0033";
      u.ctx.fillRect(left - 1, u.bbox.top, Math.max(2, right - left + 2), u.bbox.height);
    };
    const series = [{ label: "UTC" }, { label: say("reading"), stroke: colors.gas, width: 1.5 }, { label: say("background"), stroke: colors.coverage, width: 1 }];
    const values = [inside.map((row) => (gas.start + gas.time[row]) / 1000), pick(gas.value), pick(gas.background)];
    if (level) {
      series.push({ label: say("threshold"), stroke: colors.spectral, width: 1, dash: [5, 4] });
      values.push(level);
    }
    plot(panel, { tzDate: (stamp) => uPlot.tzDate(new Date(stamp * 1000), "UTC"), axes: [{ ...axis("UTC"), values: (u, ticks) => ticks.map((tick) => new Date(tick * 1000).toISOString().slice(11, 19)) }, axis(gas.unit)], series }, values, window_);
    if (!level) panel.append(element("p", say("not_searched"), { class: "note" }));
  }

  // --- page ----------------------------------------------------------------------------------------------

  function words() {
    document.documentElement.lang = language;
    for (const each of document.querySelectorAll("[data-text]")) each.textContent = say(each.dataset.text);
    byId("title").textContent = `dronesense: ${data.flight}`;
    byId("wording").textContent = say("wording");
    byId("list").setAttribute("aria-label", say("hotspots"));
    byId("keys").textContent = say("help");
    fill(byId("warnings"), [element("summary", say("warnings", data.warnings.length)), fill(element("ul"), data.warnings.map((each) => element("li", each)))]);
    byId("warnings").hidden = data.warnings.length === 0;
    const facts = [...data.statements, ...data.rejected.map((each) => [say("rejected"), each.join(": ")]), ...data.ignored.map((each) => [say("ignored"), each.join(": ")])];
    fill(byId("statements"), [element("summary", say("statements")), fill(element("dl"), facts.flatMap(([name, value]) => [element("dt", name), element("dd", value)]))]);
    byId("provenance").textContent = `${say("run")} ${data.run} · ${say("layer_hash")} ${data.layer_sha256} · dronesense ${say("version")} ${data.version}`;
    ["kind", "target", "status"].forEach(options);
    fill(byId("language"), Object.entries(data.strings).map(([key, table]) => element("option", table._name, { value: key })));
    byId("language").value = language;
    filter();
    drawDetails();
  }

  function night(on) {
    document.documentElement.toggleAttribute("data-night", on);
    byId("night").setAttribute("aria-pressed", String(on));
    drawDetails();
  }

  function step(by) {
    if (!shown.length) return;
    const place = chosen ? shown.indexOf(chosen) + by : 0;
    choose(shown[Math.max(0, Math.min(shown.length - 1, place))], true);
  }

  const isNight = () => document.documentElement.hasAttribute("data-night");
  const keys = {
    ArrowDown: () => step(1), j: () => step(1), ArrowUp: () => step(-1), k: () => step(-1),
    Enter: () => chosen && zoomTo(chosen), f: () => byId("kind").focus(), a: () => byId("filters").reset(),
    c: () => chosen && copy(Object.values(chosen.places)[0]), m: () => measure(!measured), n: () => night(!isNight()),
    p: () => window.print(), "?": () => help(byId("keys").hidden), Escape: () => { measure(false); help(false); choose(null, false); },
  };

  function help(on) {
    byId("keys").hidden = !on;
    byId("help").setAttribute("aria-expanded", String(on));
  }

  document.addEventListener("keydown", (event) => {
    const writing = event.target.closest("input, select, textarea, button");
    if (event.ctrlKey || event.metaKey || event.altKey || (writing && event.key !== "Escape")) return;
    if (Object.hasOwn(keys, event.key)) {
      event.preventDefault();
      keys[event.key]();
    }
  });
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("input", filter);
  byId("filters").addEventListener("reset", () => setTimeout(filter));
  byId("language").addEventListener("change", (event) => { language = event.target.value; words(); });
  byId("measure").addEventListener("click", () => measure(!measured));
  byId("night").addEventListener("click", () => night(!isNight()));
  byId("print").addEventListener("click", () => window.print());
  byId("help").addEventListener("click", () => help(byId("keys").hidden));
  window.addEventListener("beforeprint", () => map.invalidateSize());
  window.addEventListener("afterprint", () => map.invalidateSize());

  map.setView([0, 0], 2);
  legend.addTo(map);
  L.control.scale({ imperial: false }).addTo(map);
  layers.addTo(map);
  const drawn = drawGround();
  words();
  let extent = L.latLngBounds(spots.map((spot) => [spot.lat, spot.lon]));
  for (const each of drawn) if (each.getBounds().isValid()) extent = extent.extend(each.getBounds());
  data.overlays.forEach((each) => { extent = extent.extend(each.bounds); });
  if (extent.isValid()) map.fitBounds(extent.pad(0.05), { animate: false });
  window.dronesense = { map, data, ready_ms: performance.now(), choose: (id) => choose(spots.find((spot) => spot.id === id) || null, true), marks: () => markers.size };
  document.documentElement.dataset.ready = "yes";
})();
