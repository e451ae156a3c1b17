#include <stdio.h>
#include <stdlib.h>

#include "sieve.h"

int main(int argc, char **argv)
{
	int size = argc > 1 ? atoi(argv[1]) : 100;
	unsigned char *sieve = size > 0 ? calloc((size_t)size, 1) : NULL;

	if (sieve == NULL)
		return 1;
	mark_composites(sieve, size);
	printf("primes below %d:", size);
	for (int number = 2; number < size; number++)
		if (!sieve[number])
			printf(" %d", number);
	putchar('\n');
	free(sieve);
	return 0;
}
