'use strict';

/*
 * What the status page believes of the object that it reads, and how it writes it for people. Loaded before talkoot.js.
 */

/* ---- What may be believed: each returns a harmless value, whatever it is given. ---- */

/* Control, zero-width and direction-changing characters could disguise one name as another. */
function word(value, lengthMax) {
	if (typeof value !== 'string')
		return '';
	const clean = value.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g, '\ufffd');
	return clean.length > lengthMax ? clean.slice(0, lengthMax) + '…' : clean;
}

function number(value) {
	return typeof value === 'number' && Math.abs(value) < 1e30 ? value : null;
}

/* What is counted: never negative, never beyond what a double counts exactly. */
function count(value) {
	return Number.isSafeInteger(value) && value >= 0 ? value : null;
}

function list(value) {
	return Array.isArray(value) ? value.filter((item) => typeof item === 'object' && item !== null) : [];
}

function record(value) {
	return typeof value === 'object' && value !== null ? value : {};
}

/* ---- Numbers as people read them. ---- */

function countText(value) {
	const n = count(value);
	return n === null ? '–' : n.toLocaleString('en');
}

function lossText(value) {
	const n = number(value);
	if (n === null)
		return '–';
	return n !== 0 && (Math.abs(n) >= 1e5 || Math.abs(n) < 1e-4) ? n.toExponential(2) : n.toFixed(4);
}

function percentText(value) {
	const n = number(value);
	return n === null ? '–' : (100 * n).toFixed(1) + ' %';
}

function flopsText(value) {
	const n = number(value);
	if (n === null || n < 0)
		return '–';
	const step = n < 1000 ? 0 : Math.min(6, Math.floor(Math.log10(n) / 3));
	return Number((n / 1000 ** step).toPrecision(3)).toLocaleString('en') + ' ' + ['', 'k', 'M', 'G', 'T', 'P', 'E'][step] + 'FLOP';
}

function plural(n, noun) {
	return n.toLocaleString('en') + ' ' + noun + (n === 1 ? '' : 's');
}

function durationText(seconds) {
	const s = Math.max(0, Math.round(seconds));
	if (s < 60)
		return s + ' s';
	if (s < 3600)
		return Math.floor(s / 60) + ' min';
	if (s < 86400)
		return Math.floor(s / 3600) + ' h ' + Math.floor(s % 3600 / 60) + ' min';
	return plural(Math.floor(s / 86400), 'day');
}

function durationWords(seconds) {
	if (seconds < 3600)
		return plural(Math.max(1, Math.floor(seconds / 60)), 'minute');
	if (seconds < 86400)
		return plural(Math.floor(seconds / 3600), 'hour');
	return plural(Math.floor(seconds / 86400), 'day');
}

function momentText(unixSeconds) {
	const moment = new Date(1000 * (count(unixSeconds) || NaN));
	if (Number.isNaN(moment.getTime()))
		return '';
	return moment.toLocaleString('en-GB', { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' });
}
