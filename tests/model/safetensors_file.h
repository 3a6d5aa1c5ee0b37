/* A file of safetensors made by hand, for tests. */
#ifndef TESTS_MODEL_SAFETENSORS_FILE_H
#define TESTS_MODEL_SAFETENSORS_FILE_H

/* A file of that header and n bytes of data. */
static inline void write_file(struct bytes *out, const char *header, const void *data, size_t n)
{
	uint8_t length[8];
	int rc;

	store_le64(length, strlen(header));
	rc = bytes_append(out, length, sizeof(length));
	if (rc == TK_OK)
		rc = bytes_append(out, header, strlen(header));
	if (rc == TK_OK)
		rc = bytes_append(out, data, n);
	assert_int_equal(rc, TK_OK);
}

#endif
