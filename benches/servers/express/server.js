// express-session with connect-redis, in one process of node, as its documentation sets it up.
import { RedisStore } from "connect-redis";
import express from "express";
import session from "express-session";
import { createClient } from "redis";

const redis = createClient({ url: process.env.REDIS_URL });
await redis.connect();

const app = express();
app.disable("x-powered-by");
app.disable("etag");

// Before the sessions: this route pays for none.
app.get("/bare", (request, response) => response.send("hello"));

app.use(
  session({
    store: new RedisStore({ client: redis, ttl: 1800 }),
    secret: "it protects nothing here",
    resave: false,
    saveUninitialized: false,
  }),
);

app.get("/read", ({ session }, response) => {
  response.send(`views=${session.views} user=${session.user ?? "nobody"} theme=${session.theme}`);
});

app.get("/count", ({ session }, response) => {
  session.views += 1;
  response.send(String(session.views));
});

app.get("/set", ({ session, query }, response) => {
  session.lastPage = query.to;
  response.send("set");
});

app.get("/slow", ({ session, query }, response) => {
  session.lastPage = "slow";
  setTimeout(() => response.send("slow"), Number(query.ms));
});

app.get("/login", (request, response, next) => {
  request.session.regenerate((error) => {
    if (error) return next(error);
    Object.assign(request.session, {
      views: 1,
      user: request.query.user,
      theme: "dark",
      language: "en-GB",
      region: "europe-west",
      lastPage: "/products/tea/green",
      greeting: "Welcome back to the shop",
    });
    response.send("in");
  });
});

app.get("/logout", (request, response, next) => {
  request.session.destroy((error) => (error ? next(error) : response.send("out")));
});

app.listen(Number(process.env.PORT), "127.0.0.1");
