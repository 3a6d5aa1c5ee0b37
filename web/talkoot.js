'use strict';

/*
 * Talkoot's status page. It reads one object (README.md beside this file is the contract) and shows it:
 * from http(s) by fetching status.json, from file:// by loading status.js, which calls talkootStatus().
 *
 * It never writes, never asks another host, and never trusts a string: whatever comes from the object passes
 * word(), number() or list() and reaches the page as textContent only. Nodes are updated in place, so that focus,
 * selection and an open table survive each refresh.
 */

const VERSION = 1;
const POLL_MS = 5000;
const STALE_S = 60;
const SHOWN_MAX = { projects: 50, peers: 200, teams: 20, history: 5000, rejections: 50 };
const STATES = {
	running: 'running', paused: 'paused', queued: 'queued', failed: 'failed', stopped: 'stopped', done: 'done',
};
const PEER_STATES = ['connected', 'away', 'retired'];

const page = { data: null, heardMs: 0, asking: false, trouble: '', views: new Map() };

/* ---- The document. ---- */

function textSet(node, text) {
	if (node.textContent !== text)
		node.textContent = text;
}

function el(tag, className, ...children) {
	const node = document.createElement(tag);
	if (className)
		node.className = className;
	node.append(...children);
	return node;
}

/* Every node of the tree that has a data-slot, by its name. */
function slotsOf(root) {
	const slots = {};
	for (const node of root.querySelectorAll('[data-slot]'))
		slots[node.dataset.slot] = node;
	return slots;
}

/* A line of text that is not there when it has nothing to say. */
function lineSet(node, text) {
	textSet(node, text);
	node.hidden = text === '';
}

/* Rebuilds a list only when what it shows has changed; a selection inside it then survives. */
function rowsSet(parent, rows, build) {
	const print = JSON.stringify(rows);
	if (parent.talkootPrint === print)
		return;
	parent.talkootPrint = print;
	parent.replaceChildren(...rows.map(build));
}

function moreSet(node, hiddenCount, noun) {
	lineSet(node, hiddenCount > 0 ? 'and ' + plural(hiddenCount, noun) + ' more, which status.json lists' : '');
}

function copyDigest(code, button) {
	const range = document.createRange();
	range.selectNodeContents(code);
	getSelection().removeAllRanges();
	getSelection().addRange(range);
	const say = (text) => {
		button.textContent = text;
		setTimeout(() => { button.textContent = 'Copy'; }, 3000);
	};
	const wish = navigator.clipboard ? navigator.clipboard.writeText(code.textContent) : Promise.reject();
	wish.then(() => say('Copied'), () => say('Selected: press Ctrl+C'));
}

/* ---- Projects. ---- */

function projectMake() {
	const root = document.getElementById('project-template').content.firstElementChild.cloneNode(true);
	const slots = slotsOf(root);
	slots.copy.addEventListener('click', () => copyDigest(slots.digest, slots.copy));
	return { root, slots, state: '', chart: chartMake(slots, root.querySelector('.chart')) };
}

function aboutText(project) {
	const said = [word(project.model_type, 40)];
	if (count(project.parameters))
		said.push(countText(project.parameters) + ' parameters');
	if (count(project.samples))
		said.push(countText(project.samples) + ' samples' +
			(count(project.classes) ? ' in ' + countText(project.classes) + ' classes' : ''));
	const finished = momentText(project.finished_at);
	const created = momentText(project.created_at);
	said.push(finished ? 'finished ' + finished : created ? 'submitted ' + created : '');
	return said.filter((part) => part).join(' · ');
}

function progressShow(view, project, state) {
	const rounds = count(project.rounds) || 1;
	const units = count(project.units_per_round) || 1;
	const round = Math.min(rounds, count(project.round) || 0);
	const done = round === rounds ? 0 : Math.min(units, count(project.units_done_in_round) || 0);
	const active = (state === 'running' || state === 'paused') && round < rounds;
	const [overall, inRound] = view.root.querySelectorAll('progress');
	overall.value = (round + done / units) / rounds;
	inRound.value = done / units;
	textSet(view.slots.rounds, active ? 'Round ' + countText(round + 1) + ' of ' + countText(rounds)
		: countText(round) + ' of ' + plural(rounds, 'round'));
	const eta = count(project.eta_s);
	const moving = active && page.data.serving !== false;
	textSet(view.slots.eta, moving && eta !== null ? 'about ' + durationText(eta) + ' left' : '');
	view.slots['this-round'].hidden = !active;
	textSet(view.slots.units, countText(done) + ' of ' + plural(units, 'unit') + ' in this round');
}

function verifyText(project) {
	const verify = record(project.verify);
	if (verify.policy === 'full')
		return 'Every unit is computed by at least ' + countText(verify.quorum) +
			' peers and counts only when their results are equal, bit for bit.';
	if (verify.policy !== 'adaptive')
		return '';
	const again = count(verify.recomputed), bound = number(verify.wrong_bound);
	return 'Peers that have proved themselves are checked by samples, so some units were computed only once' +
		(again === null ? '.' : '; ' + plural(again, 'unit') + ' more than once so far.') +
		(bound === null || bound >= 1 || bound < 0 ? '' : ' With 95 % confidence at most ' + percentText(bound) +
			' of the others are wrong.') + fraudText(verify);
}

/* What became of merged units that proved wrong. */
function fraudText(verify) {
	const back = count(verify.merges_taken_back), stands = count(verify.wrong_standing);
	const why = word(verify.rollback_why, 200);
	let text = '';
	if (back !== null && back > 0)
		text += ' ' + plural(back, 'merge') + ' taken back' + (why !== '' ? ', last: ' + why + '.' : '.');
	if (verify.on_fraud === 'continue')
		text += stands !== null && stands > 0
			? ' ' + plural(stands, 'merged unit') + ' proved wrong and stay: this is not what one computer would get' +
				(why !== '' ? ' (' + why + ').' : '.')
			: ' What proves wrong after its merge stays, so nothing promises that this is what one computer would get.';
	return text;
}

function rejectionBuild(row) {
	const where = row.round === null ? '' : 'round ' + countText(row.round + 1);
	const unit = row.unit === null ? '' : 'unit ' + countText(row.unit + 1);
	return el('li', '', el('code', '', row.peer), ' ', el('span', 'why', row.why), ' ',
		el('span', 'where', [where, unit].filter((part) => part).join(', ')));
}

function rejectionsOf(project) {
	return list(project.rejections).map((r) => ({
		round: count(r.round), unit: count(r.unit), peer: word(r.peer, 64), why: word(r.why, 300),
	})).reverse();
}

function roundBuild(p) {
	const row = el('tr', '');
	for (const text of [countText(p.round), lossText(p.train), lossText(p.valid), percentText(p.accuracy),
		p.seconds === null ? '–' : p.seconds.toFixed(1)])
		row.append(el('td', 'n', text));
	return row;
}

function projectShow(view, project) {
	const { slots } = view;
	const state = Object.hasOwn(STATES, project.state) ? STATES[project.state] : 'unknown';
	const name = word(project.name, 80) || 'a project without a name';
	const points = historyOf(project);
	const rejections = rejectionsOf(project);
	const digest = word(project.model_digest, 128);
	if (view.state && view.state !== state)
		textSet(document.getElementById('news'), name + ' is now ' + state);
	view.state = state;
	view.root.dataset.state = state;
	view.root.setAttribute('aria-label', name);
	textSet(slots.name, name);
	textSet(slots.state, state);
	lineSet(slots.about, aboutText(project));
	lineSet(slots.reason, word(project.reason, 400));
	progressShow(view, project, state);
	slots.halves.hidden = state === 'queued' && points.length === 0;
	chartShow(view.chart, points);
	textSet(slots.loss, lossText(project.loss));
	textSet(slots['validation-loss'], lossText(project.validation_loss));
	textSet(slots.accuracy, percentText(project.validation_accuracy));
	slots['accuracy-row'].hidden = number(project.validation_accuracy) === null;
	for (const [slot, key] of [['peers', 'peers'], ['accepted', 'units_accepted'], ['replicas', 'replicas'],
		['rejected', 'units_rejected'], ['disputes', 'disputes']])
		textSet(slots[slot], countText(project[key]));
	lineSet(slots.verify, verifyText(project));
	slots['digest-box'].hidden = digest === '';
	textSet(slots.digest, digest);
	slots['digest-check'].hidden = state !== 'done'; // `talkoot train` prints the last round's digest alone
	textSet(slots['digest-when'], state === 'done' ? '' : 'after ' + plural(count(project.round) || 0, 'round'));
	slots.caught.hidden = rejections.length === 0;
	rowsSet(slots.rejections, rejections.slice(0, SHOWN_MAX.rejections), rejectionBuild);
	moreSet(slots['more-rejections'], rejections.length - SHOWN_MAX.rejections, 'result');
	slots['rounds-box'].hidden = points.length === 0;
	rowsSet(slots.history, points.slice().reverse(), roundBuild);
}

/* What moves comes first, then the latest. */
function projectsSorted(data) {
	const order = Object.keys(STATES);
	const rank = (p) => order.includes(p.state) ? Math.min(3, order.indexOf(p.state)) : 3;
	const latest = (p) => count(p.finished_at) || count(p.created_at) || 0;
	return list(data.projects).sort((a, b) => rank(a) - rank(b) || latest(b) - latest(a));
}

function projectsShow(data) {
	const parent = document.getElementById('project-list');
	const projects = projectsSorted(data);
	const views = new Map();
	projects.slice(0, SHOWN_MAX.projects).forEach((project, i) => {
		let key = word(project.name, 400);
		key = views.has(key) ? key + ' #' + i : key;
		const view = page.views.get(key) || projectMake();
		views.set(key, view);
		if (parent.children[i] !== view.root)
			parent.insertBefore(view.root, parent.children[i] || null);
		projectShow(view, project);
	});
	while (parent.children.length > views.size)
		parent.lastElementChild.remove();
	page.views = views;
	document.getElementById('no-project').hidden = projects.length > 0;
	moreSet(document.getElementById('more-projects'), projects.length - SHOWN_MAX.projects, 'project');
}

/* ---- Peers and totals. ---- */

/* Each cell is [label, class, children…]. */
function rowBuild(className, ...cells) {
	const row = el('tr', className);
	row.setAttribute('role', 'row');
	for (const [label, cellClass, ...children] of cells) {
		const td = el('td', cellClass, ...children);
		td.setAttribute('role', 'cell');
		td.dataset.label = label;
		row.append(td);
	}
	return row;
}

function peerBuild(peer) {
	return rowBuild(peer.state, ['peer', 'id', el('code', '', peer.id)],
		['state', 'standing', el('span', 'badge', peer.state), ...(peer.why ? [' ', el('span', 'why', peer.why)] : [])],
		['for', 'n', peer.age], ['computing', 'n', peer.computing], ['valid', 'n', peer.valid],
		['wrong', 'n', peer.invalid], ['too late', 'n', peer.late]);
}

/* The latest reason for which a result of this peer was rejected, from all projects. */
function whyOf(id, rejections) {
	const found = rejections.find((r) => r.peer !== '' && id.startsWith(r.peer));
	return found ? found.why : '';
}

function peersShow(data) {
	const rejections = list(data.projects).flatMap(rejectionsOf);
	const peers = list(data.peers);
	const rank = (p) => (PEER_STATES.indexOf(p.state) + PEER_STATES.length + 1) % (PEER_STATES.length + 1);
	const rows = peers.sort((a, b) => rank(a) - rank(b)).slice(0, SHOWN_MAX.peers).map((p) => {
		const id = word(p.id, 64);
		const state = PEER_STATES.includes(p.state) ? p.state : 'unknown';
		const since = count(p.since);
		return {
			id, state, why: state === 'retired' ? whyOf(id, rejections) : '',
			age: since ? durationText(data.generated_at - since) : '–', computing: countText(p.computing),
			valid: countText(p.units_valid), invalid: countText(p.units_invalid), late: countText(p.timeouts),
		};
	});
	rowsSet(document.getElementById('peer-rows'), rows, peerBuild);
	document.getElementById('peer-table').hidden = rows.length === 0;
	document.getElementById('no-peer').hidden = rows.length > 0;
	moreSet(document.getElementById('more-peers'), peers.length - SHOWN_MAX.peers, 'peer');
}

function teamBuild(team) {
	return rowBuild('', ['team', 'id', team.name], ['members', 'n', team.members], ['valid', 'n', team.valid],
		['credit', 'n', team.credit]);
}

function teamsShow(data) {
	const rows = list(data.teams).slice(0, SHOWN_MAX.teams).map((t) => ({
		name: word(t.name, 32), members: countText(t.members), valid: countText(t.units_valid),
		credit: flopsText(t.credit_flops),
	}));
	const more = (count(data.teams_known) || 0) - rows.length;
	document.getElementById('teams').hidden = rows.length === 0;
	rowsSet(document.getElementById('team-rows'), rows, teamBuild);
	lineSet(document.getElementById('more-teams'), more > 0 ? 'and ' + plural(more, 'team') + ' with less credit' : '');
}

function totalsShow(data) {
	const slots = slotsOf(document.getElementById('totals'));
	const totals = record(data.totals);
	textSet(slots.connected, countText(data.peers_connected));
	textSet(slots.known, 'of ' + countText(data.peers_known) + ' known');
	textSet(slots.accepted, countText(totals.units_accepted));
	textSet(slots.rejected, countText(totals.units_rejected));
	textSet(slots.replicas, countText(totals.replicas_computed));
	textSet(slots.retired, countText(totals.peers_retired));
}

/* ---- Is anybody there? ---- */

/* What the page says about the coordinator at this moment: a level, a short line and, when something is wrong, why. */
function livenessTell(nowMs) {
	if (page.data === null)
		return { level: 'waiting', line: 'waiting for the coordinator', alarm: page.trouble };
	const age = Math.max(0, (nowMs - page.heardMs) / 1000);
	if (page.data.serving === false)
		return {
			level: 'ended', line: 'stopped ' + durationText(age) + ' ago',
			alarm: 'The coordinator has been stopped. This is how it left things.',
		};
	if (age < STALE_S)
		return { level: 'fresh', line: 'last heard ' + durationText(age) + ' ago', alarm: '' };
	return {
		level: 'stale', line: 'last heard ' + durationText(age) + ' ago',
		alarm: ('The coordinator has not written for ' + durationWords(age) +
			'. What you see is how things stood then. ' + page.trouble).trim(),
	};
}

function livenessShow() {
	const told = livenessTell(Date.now());
	const node = document.getElementById('liveness');
	node.dataset.level = told.level;
	textSet(node, told.line);
	lineSet(document.getElementById('alarm'), told.alarm);
}

/* ---- Reading. ---- */

/* Takes one status object, from status.json or from the call in status.js. A coordinator's clock may differ from ours:
 * once we have seen it write, our own clock says how long ago that was. */
function talkootStatus(data) {
	page.asking = false;
	if (record(data).version !== VERSION || count(data.generated_at) === null) {
		page.trouble = 'The status file is not one that this page can read: it reads version ' + VERSION +
			'. Take the page from the coordinator\'s own release.';
		livenessShow();
		return;
	}
	if (page.data === null)
		page.heardMs = Math.min(Date.now(), 1000 * data.generated_at);
	else if (page.data.generated_at !== data.generated_at)
		page.heardMs = Date.now();
	page.data = data;
	page.trouble = '';
	const name = word(data.name, 80);
	const key = word(data.network, 64);
	textSet(document.getElementById('network-name'), name || 'A network without a name');
	document.title = (name || 'Talkoot') + (name ? ' · Talkoot' : '');
	textSet(document.getElementById('network-key'), key);
	document.getElementById('network-line').hidden = key === '';
	for (const id of ['totals', 'projects', 'peers'])
		document.getElementById(id).hidden = false;
	totalsShow(data);
	projectsShow(data);
	peersShow(data);
	teamsShow(data);
	livenessShow();
}

function troubleTake(why) {
	page.asking = false;
	page.trouble = why + ' It is written by the coordinator, which runs with: talkoot serve HOME';
	livenessShow();
}

function fetchStatus() {
	fetch('status.json', { cache: 'no-store', signal: AbortSignal.timeout(4 * POLL_MS) }).then((answer) => {
		if (!answer.ok)
			throw new Error('the server answered ' + answer.status);
		return answer.json();
	}).then(talkootStatus, (error) => troubleTake('status.json cannot be read: ' + error.message + '.'));
}

/* Browsers refuse fetch from file://, so there the data comes as a script; only this one address is let through. */
const scriptRule = {
	createScriptURL(url) {
		if (!/^status\.js\?t=\d+$/.test(url))
			throw new TypeError('not the status file: ' + url);
		return url;
	},
};
const scriptPolicy = window.trustedTypes ? window.trustedTypes.createPolicy('talkoot', scriptRule) : scriptRule;

function loadStatus() {
	const script = document.createElement('script');
	script.onload = () => {
		script.remove();
		if (page.asking)
			troubleTake('status.js is beside this page but holds no status.');
	};
	script.onerror = () => {
		script.remove();
		troubleTake('There is no status.js beside this page yet.');
	};
	script.src = scriptPolicy.createScriptURL('status.js?t=' + Date.now());
	document.head.append(script);
}

function poll() {
	if (page.asking || document.hidden)
		return;
	page.asking = true;
	if (location.protocol === 'file:')
		loadStatus();
	else
		fetchStatus();
}

document.addEventListener('visibilitychange', poll);
setInterval(poll, POLL_MS);
setInterval(livenessShow, 1000);
poll();
