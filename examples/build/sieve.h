/* Marks the composite numbers below size in sieve (one byte each). */
void mark_composites(unsigned char *sieve, int size);
