// The header of newlib that kernels name.
#pragma once

#include <stdint.h>
