# One image for all our processes; the command says which: node --import tsx <folder>/main.ts
# Not built on this project's test machines, which have no Docker daemon.
FROM node:20-bookworm-slim

WORKDIR /app

# npm ci would refuse a lock without the optional packages of other platforms; the versions are the lock's either way.
COPY package.json package-lock.json ./
RUN npm install --no-save --include=dev --no-audit --no-fund

COPY tsconfig.json ./
COPY contracts ./contracts
COPY platform ./platform
COPY templates ./templates
COPY channels ./channels
COPY store ./store
COPY workflows ./workflows
COPY activities ./activities
COPY ingest ./ingest
COPY bridge ./bridge
COPY worker ./worker
COPY indexer ./indexer
COPY jobs ./jobs
COPY admin ./admin
COPY stack ./stack

ENV NODE_ENV=production MC_HOST=0.0.0.0
USER node
