#include "sieve.h"

void mark_composites(unsigned char *sieve, int size)
{
	for (int number = 2; number * number < size; number++)
		if (!sieve[number])
			for (int multiple = number * number; multiple < size; multiple += number)
				sieve[multiple] = 1;
}
