#include "VectorMath.h"
