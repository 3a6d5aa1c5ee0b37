/* See tree.h. The door to libyaml: its events become nodes, its marks become places.
 *
 * The stream is stopped at the first event that leaves the limits, so a hostile file costs no more than
 * its own length. libyaml allocates for itself; what we keep comes from mem.h. */
#include "tasks/project/tree.h"

#include <string.h>
#include <yaml.h>

#include "tasks/base/mem.h"
#include "tasks/base/require.h"

struct builder {
	yaml_parser_t parser;
	struct span text;
	struct faults *faults;
	struct tree *root;
	struct tree *open[TREE_DEPTH_MAX]; /* the maps and lists that are being read */
	uint32_t depth;
	uint32_t nodes;
	uint32_t documents;
};

static struct place place_of(yaml_mark_t mark)
{
	return (struct place){(uint32_t)mark.line + 1, (uint32_t)mark.column + 1};
}

/* The place of the byte at `offset`. Columns count bytes: what stands there may be no character. */
static struct place place_at(struct span text, size_t offset)
{
	struct place at = {1, 1};

	for (size_t i = 0; i < offset && i < text.len; i++) {
		at.column++;
		if (text.data[i] == '\n')
			at = (struct place){at.line + 1, 1};
	}
	return at;
}

/* The column of the first tab in the line's indentation, or 0. */
static uint32_t indenting_tab(struct span text, uint32_t line)
{
	size_t i = 0;

	for (uint32_t at = 1; at < line && i < text.len; i++)
		at += text.data[i] == '\n';
	for (uint32_t column = 1; i < text.len; i++, column++) {
		if (text.data[i] == '\t')
			return column;
		if (text.data[i] != ' ')
			return 0;
	}
	return 0;
}

/* Says why libyaml stopped. */
static int syntax_fault(struct builder *b)
{
	const yaml_parser_t *p = &b->parser;
	const char *problem = p->problem != NULL ? p->problem : "it cannot be read";
	struct place at = place_of(p->problem_mark);
	uint32_t tab;

	if (p->error == YAML_MEMORY_ERROR)
		return TK_ENOMEM;
	if (p->error == YAML_READER_ERROR) {
		fault_add(b->faults, place_at(b->text, p->problem_offset), TK_EINVAL,
			"not YAML: %s (byte 0x%02x); save the file as plain UTF-8 text", problem,
			(unsigned)p->problem_value & 0xff);
		return TK_EINVAL;
	}
	tab = indenting_tab(b->text, at.line);
	if (tab != 0) {
		at.column = tab;
		fault_add(
			b->faults, at, TK_EINVAL, "not YAML: a tab indents this line; use spaces");
	} else if (p->context != NULL) {
		fault_add(b->faults, at, TK_EINVAL,
			"not YAML: %s %s that begins on line %zu; look for a bracket, quote, comma "
			"or indentation that is missing",
			problem, p->context, p->context_mark.line + 1);
	} else {
		fault_add(b->faults, at, TK_EINVAL,
			"not YAML: %s; look at the colons, quotes and indentation here", problem);
	}
	return TK_EINVAL;
}

/* Hangs the node under the map or list that is open, or makes it the root. */
static void node_place(struct builder *b, struct tree *node)
{
	struct tree *parent = b->depth > 0 ? b->open[b->depth - 1] : NULL;

	if (parent == NULL) {
		REQUIRE(b->root == NULL);
		b->root = node;
	} else {
		if (parent->last != NULL)
			parent->last->next = node;
		else
			parent->first = node;
		parent->last = node;
	}
}

static int node_add(struct builder *b, enum tree_kind kind, struct place at, const char *text,
	size_t len, struct tree **out)
{
	struct tree *node;

	if (b->nodes == TREE_NODES_MAX) {
		fault_add(b->faults, at, TK_ELIMIT,
			"more than %u keys and values; a project file needs far fewer",
			TREE_NODES_MAX);
		return TK_EINVAL;
	}
	node = mem_calloc(1, sizeof(*node) + len + 1);
	if (node == NULL)
		return TK_ENOMEM;
	node->kind = kind;
	node->at = at;
	if (len > 0)
		memcpy(node->text, text, len);
	b->nodes++;
	node_place(b, node);
	*out = node;
	return TK_OK;
}

static void refuse_marks(
	struct builder *b, struct place at, const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (anchor != NULL)
		fault_add(b->faults, at, TK_EINVAL,
			"anchors (&name) are not accepted here; write the value where it is used");
	if (tag != NULL)
		fault_add(b->faults, at, TK_EINVAL,
			"tags (!name) are not accepted here; write the value alone");
}

static int on_scalar(struct builder *b, const yaml_event_t *e)
{
	const char *text = (const char *)e->data.scalar.value;
	size_t len = e->data.scalar.length;
	struct place at = place_of(e->start_mark);
	bool holds_nul = memchr(text, '\0', len) != NULL;
	struct tree *node;
	int rc;

	refuse_marks(b, at, e->data.scalar.anchor, e->data.scalar.tag);
	rc = node_add(b, holds_nul ? TREE_BAD : TREE_SCALAR, at, text, len, &node);
	if (rc != TK_OK)
		return rc;
	node->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	if (holds_nul)
		fault_add(b->faults, at, TK_EINVAL, "the text holds a NUL character; remove it");
	return TK_OK;
}

static int on_alias(struct builder *b, const yaml_event_t *e)
{
	struct place at = place_of(e->start_mark);
	struct tree *node;

	fault_add(b->faults, at, TK_EINVAL,
		"aliases (*name) are not accepted here; write the value itself");
	return node_add(b, TREE_BAD, at, "", 0, &node);
}

static int on_open(struct builder *b, const yaml_event_t *e, enum tree_kind kind)
{
	struct place at = place_of(e->start_mark);
	struct tree *node;
	int rc;

	if (kind == TREE_MAP)
		refuse_marks(b, at, e->data.mapping_start.anchor, e->data.mapping_start.tag);
	else
		refuse_marks(b, at, e->data.sequence_start.anchor, e->data.sequence_start.tag);
	if (b->depth == TREE_DEPTH_MAX) {
		fault_add(b->faults, at, TK_ELIMIT, "nested deeper than %u levels", TREE_DEPTH_MAX);
		return TK_EINVAL;
	}
	rc = node_add(b, kind, at, "", 0, &node);
	if (rc == TK_OK)
		b->open[b->depth++] = node;
	return rc;
}

static int on_document(struct builder *b, const yaml_event_t *e)
{
	if (b->documents++ == 0)
		return TK_OK;
	fault_add(b->faults, place_of(e->start_mark), TK_EINVAL,
		"a second document (---); a project file holds one");
	return TK_EINVAL;
}

static int on_event(struct builder *b, const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_DOCUMENT_START_EVENT:
		return on_document(b, e);
	case YAML_SCALAR_EVENT:
		return on_scalar(b, e);
	case YAML_ALIAS_EVENT:
		return on_alias(b, e);
	case YAML_MAPPING_START_EVENT:
		return on_open(b, e, TREE_MAP);
	case YAML_SEQUENCE_START_EVENT:
		return on_open(b, e, TREE_LIST);
	case YAML_MAPPING_END_EVENT:
	case YAML_SEQUENCE_END_EVENT:
		REQUIRE(b->depth > 0);
		b->depth--;
		return TK_OK;
	default:
		return TK_OK;
	}
}

static int build(struct builder *b)
{
	yaml_event_t event;
	bool more = true;
	int rc = TK_OK;

	while (rc == TK_OK && more) {
		if (!yaml_parser_parse(&b->parser, &event))
			return syntax_fault(b);
		rc = on_event(b, &event);
		more = event.type != YAML_STREAM_END_EVENT;
		yaml_event_delete(&event);
	}
	return rc;
}

int tree_read(struct tree **out, struct span text, struct faults *faults)
{
	struct builder b = {.text = text, .faults = faults};
	int rc;

	if (!yaml_parser_initialize(&b.parser))
		return TK_ENOMEM;
	yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&b.parser, text.data, text.len);
	rc = build(&b);
	yaml_parser_delete(&b.parser);
	if (rc != TK_OK) {
		tree_free(b.root);
		return rc;
	}
	if (b.root == NULL)
		fault_add(faults, (struct place){0, 0}, TK_EINVAL,
			"the file is empty; it needs the sections project, model and data");
	*out = b.root;
	return TK_OK;
}

void tree_free(struct tree *t)
{
	struct tree *child;

	if (t == NULL)
		return;
	for (child = t->first; child != NULL;) {
		struct tree *next = child->next;

		tree_free(child); /* at most TREE_DEPTH_MAX calls deep */
		child = next;
	}
	mem_free(t);
}
