# unsee on processors: the wheel with what runs bundles, the built-in model and people's ONNX networks. No PyTorch.
# docker build -t unsee . && docker run --rm -v "$PWD:/work" unsee run photos/ -o maps/
FROM python:3.11.13-slim-bookworm AS build
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11.13-slim-bookworm
COPY constraints.txt /wheels/
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir --constraint /wheels/constraints.txt \
        "$(echo /wheels/unsee-*.whl)[cpu,networks,coco,names,http,s3,gcs]" \
    && rm -r /wheels \
    && useradd --create-home --uid 10001 unsee
USER 10001
ENV NUMBA_CACHE_DIR=/home/unsee/.cache/numba \
    XDG_CACHE_HOME=/home/unsee/.cache
# Compiles the kernels, so that no container waits for them.
RUN python -c "import numpy, unsee; unsee.saliency(numpy.tile(numpy.arange(96, dtype='uint8')[:, None, None], (1, 80, 3)))" \
    && chmod -R a+rwX /home/unsee
WORKDIR /work
ENTRYPOINT ["unsee"]
CMD ["--help"]
