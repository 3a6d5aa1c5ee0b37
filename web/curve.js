'use strict';

/*
 * The loss curve of one project: two lines over the rounds, drawn as SVG at the size of its place, with ticks, a
 * readout for the round that is pointed at, and arrow keys that do the same (the plot is a slider to a screen reader).
 *
 * It draws numbers only and knows nothing of files. talkoot.js makes a chart for each project, and lends it count(),
 * number(), list() and the texts of numbers.
 */

const CHART = { height: 230, top: 12, right: 14, bottom: 28 };

function svgEl(tag, attributes, text) {
	const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
	for (const [key, value] of Object.entries(attributes))
		node.setAttribute(key, value);
	if (text !== undefined)
		node.textContent = text;
	return node;
}

/* Rounds count from 1 on the page and from 0 in the object. */
function historyOf(project) {
	const points = list(project.history).filter((h) => count(h.round) !== null).slice(-SHOWN_MAX.history);
	return points.map((h) => ({
		round: h.round + 1, train: number(h.loss), valid: number(h.validation_loss),
		accuracy: number(h.validation_accuracy), seconds: number(h.seconds),
	})).sort((a, b) => a.round - b.round);
}

/* Ticks at 1, 2 or 5 times a power of ten, about `wanted` of them, inside [low, high]. */
function ticksOf(low, high, wanted, stepMin) {
	const raw = (high - low) / wanted;
	const power = 10 ** Math.floor(Math.log10(raw));
	const step = Math.max(stepMin, power * [1, 2, 5, 10].find((m) => m * power >= raw * 0.999));
	const decimals = Math.min(6, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
	const ticks = [];
	for (let i = 0, at = Math.ceil(low / step) * step; i < 24 && at <= high; i++, at += step)
		ticks.push({ at, text: Math.abs(at) >= 1e5 ? at.toExponential(1) : at.toFixed(decimals) });
	return ticks;
}

/* The extent of the points in both directions, a flat curve given some room. */
function extentOf(points) {
	const values = points.flatMap((p) => [p.train, p.valid]).filter((v) => v !== null);
	let low = values.reduce((a, b) => Math.min(a, b), Infinity);
	let high = values.reduce((a, b) => Math.max(a, b), -Infinity);
	const room = (high - low) * 0.06 || Math.max(Math.abs(high) * 0.1, 0.1);
	[low, high] = [low >= 0 ? Math.max(0, low - room) : low - room, high + room];
	return { low, high, first: points[0].round, last: points[points.length - 1].round, any: values.length > 0 };
}

/* One line; a missing value breaks it, and a point alone between two gaps is a dot (h0). */
function pathOf(points, key, x, y) {
	let d = '';
	let pen = 'M';
	for (const p of points) {
		if (p[key] !== null)
			d += pen + x(p.round).toFixed(1) + ' ' + y(p[key]).toFixed(1) + (pen === 'M' ? 'h0' : '');
		pen = p[key] === null ? 'M' : 'L';
	}
	return d;
}

function chartMake(slots, figure) {
	const plot = figure.querySelector('.plot');
	const chart = { slots, figure, plot, svg: plot.querySelector('svg'), points: [], picked: null, scale: null };
	plot.addEventListener('pointermove', (event) => chartPoint(chart, event));
	plot.addEventListener('pointerdown', (event) => chartPoint(chart, event));
	plot.addEventListener('pointerleave', () => chartPick(chart, null));
	plot.addEventListener('blur', () => chartPick(chart, null));
	plot.addEventListener('keydown', (event) => chartKey(chart, event));
	new ResizeObserver(() => chartDraw(chart)).observe(plot);
	return chart;
}

function chartShow(chart, points) {
	const extent = points.length ? extentOf(points) : { any: false };
	chart.points = extent.any ? points : [];
	chart.plot.hidden = !extent.any;
	chart.figure.querySelector('figcaption').hidden = !extent.any;
	chart.slots['no-history'].hidden = extent.any;
	if (chart.picked !== null && chart.picked >= chart.points.length)
		chart.picked = null;
	chartDraw(chart);
}

function chartDraw(chart) {
	if (!chart.points.length || !chart.plot.clientWidth)
		return;
	const width = chart.plot.clientWidth;
	const { low, high, first, last } = extentOf(chart.points);
	const ticksY = ticksOf(low, high, 4, 0);
	const left = 14 + 7.2 * ticksY.reduce((most, t) => Math.max(most, t.text.length), 5);
	const right = width - CHART.right;
	const bottom = CHART.height - CHART.bottom;
	const x = (round) => first === last ? (left + right) / 2 : left + (right - left) * (round - first) / (last - first);
	const y = (loss) => bottom - (bottom - CHART.top) * (loss - low) / (high - low);
	const parts = [];
	for (const tick of ticksY) {
		parts.push(svgEl('line', { class: 'grid', x1: left, x2: right, y1: y(tick.at), y2: y(tick.at) }));
		parts.push(svgEl('text', { class: 'tick', x: left - 8, y: y(tick.at) + 4, 'text-anchor': 'end' }, tick.text));
	}
	const ticksX = first === last ? [{ at: first, text: String(first) }] : ticksOf(first, last, width / 90, 1);
	for (const tick of ticksX) {
		parts.push(svgEl('line', { class: 'axis', x1: x(tick.at), x2: x(tick.at), y1: bottom, y2: bottom + 5 }));
		parts.push(svgEl('text', { class: 'tick', x: x(tick.at), y: bottom + 20, 'text-anchor': 'middle' }, tick.text));
	}
	parts.push(svgEl('line', { class: 'axis', x1: left, x2: right, y1: bottom, y2: bottom }));
	parts.push(svgEl('text', { class: 'tick', x: left - 8, y: bottom + 20, 'text-anchor': 'end' }, 'round'));
	parts.push(svgEl('path', { class: 'curve train', d: pathOf(chart.points, 'train', x, y) }));
	parts.push(svgEl('path', { class: 'curve valid', d: pathOf(chart.points, 'valid', x, y) }));
	chart.cursor = svgEl('g', {});
	chart.svg.setAttribute('viewBox', '0 0 ' + width + ' ' + CHART.height);
	chart.svg.setAttribute('height', CHART.height);
	chart.svg.replaceChildren(...parts, chart.cursor);
	chart.scale = { x, y, bottom };
	chartPick(chart, chart.picked);
}

/* Shows one round's numbers: the one pointed at or, for null, the latest. */
function chartPick(chart, index) {
	if (!chart.points.length || !chart.scale)
		return;
	const { x, y, bottom } = chart.scale;
	const p = chart.points[index === null ? chart.points.length - 1 : index];
	const marks = [];
	chart.picked = index;
	if (index !== null)
		marks.push(svgEl('line', { class: 'guide', x1: x(p.round), x2: x(p.round), y1: CHART.top, y2: bottom }));
	for (const key of ['train', 'valid'])
		if (p[key] !== null)
			marks.push(svgEl('circle', { class: 'dot ' + key, cx: x(p.round), cy: y(p[key]), r: 4 }));
	chart.cursor.replaceChildren(...marks);
	textSet(chart.slots.when, (index === null ? 'after round ' : 'at round ') + p.round);
	textSet(chart.slots['at-train'], lossText(p.train));
	textSet(chart.slots['at-valid'], lossText(p.valid));
	textSet(chart.slots['at-accuracy'], percentText(p.accuracy));
	chart.slots['accuracy-key'].hidden = p.accuracy === null;
	chart.plot.setAttribute('aria-valuemin', chart.points[0].round);
	chart.plot.setAttribute('aria-valuemax', chart.points[chart.points.length - 1].round);
	chart.plot.setAttribute('aria-valuenow', p.round);
	chart.plot.setAttribute('aria-valuetext', 'round ' + p.round + ': training loss ' + lossText(p.train) +
		', validation loss ' + lossText(p.valid) + (p.accuracy === null ? '' : ', accuracy ' + percentText(p.accuracy)));
}

function chartPoint(chart, event) {
	const at = event.clientX - chart.plot.getBoundingClientRect().left;
	const away = (p) => Math.abs(chart.scale.x(p.round) - at);
	if (chart.scale && chart.points.length)
		chartPick(chart, chart.points.reduce((best, p, i) => away(p) < away(chart.points[best]) ? i : best, 0));
}

function chartKey(chart, event) {
	const last = chart.points.length - 1;
	const now = chart.picked === null ? last : chart.picked;
	const next = {
		ArrowLeft: now - 1, ArrowDown: now - 1, ArrowRight: now + 1, ArrowUp: now + 1,
		PageDown: now - 10, PageUp: now + 10, Home: 0, End: last, Escape: null,
	}[event.key];
	if (next === undefined)
		return;
	event.preventDefault();
	chartPick(chart, next === null ? null : Math.min(last, Math.max(0, next)));
}
