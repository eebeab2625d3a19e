#ifndef IMAGECODECS_H
#define IMAGECODECS_H
#endif
